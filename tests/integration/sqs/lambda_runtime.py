"""AWS's own runtime client for Python, started as Lambda starts it, and an event source mapping in front of it.

`LambdaRuntime` serves the Lambda Runtime API (version 2018-06-01, as the AWS Lambda Developer Guide describes it) on
loopback, and runs `python -m awslambdaric` against it. `SqsMapping` feeds it from a queue of LocalStack.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Any, Self

from tests.integration.processes import environment

API = "/2018-06-01/runtime"
# How much later than by its timeout a function is killed: it has to start, and the machine may be busy.
PATIENCE = 30.0


class FunctionFailed(Exception):
    """The function raised, couldn't be loaded, or ran out of time."""


class _Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        assert self.path == f"{API}/invocation/next"
        invocation = self.server.runtime.invocations.get()
        if invocation is None:
            self.close_connection = True
            return
        id_, event, timeout = invocation
        deadline = int((time.time() + timeout.total_seconds()) * 1000)
        self._answer(
            200,
            json.dumps(event).encode(),
            {
                "Lambda-Runtime-Aws-Request-Id": id_,
                "Lambda-Runtime-Deadline-Ms": str(deadline),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:shop",
                "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
            },
        )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
        self._answer(202, b'{"status": "OK"}', {})
        self.server.runtime.answers.put((self.path.removeprefix(API), body))

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Keeps the test's output clean."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, runtime: LambdaRuntime) -> None:
        super().__init__(("127.0.0.1", 0), _Api)
        self.runtime = runtime


class LambdaRuntime:
    """One execution environment of a function.

    Args:
        folder: Where the function's module is.
        handler: `module.name`.
        timeout: The function's timeout: the process is killed when an invocation takes longer.
        env: More environment variables.
    """

    def __init__(self, folder: Path, handler: str, *, timeout: timedelta, **env: str) -> None:
        self.invocations: Queue[tuple[str, object, timedelta] | None] = Queue()
        self.answers: Queue[tuple[str, Any]] = Queue()
        self.log = folder / "lambda.log"
        self._folder = folder
        self._handler = handler
        self._timeout = timeout
        self._env = env
        self._server = _Server(self)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="runtime-api", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        self._server.shutdown()
        self._server.server_close()
        if error is not None and self.log.exists():
            print(self.log.read_text())

    def invoke(self, event: object) -> Any:
        """The function's answer.

        Raises:
            FunctionFailed: As Lambda reports it to whoever invoked the function.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        id_ = str(uuid.uuid4())
        self.invocations.put((id_, event, self._timeout))
        path, body = self._answered(self._timeout.total_seconds() + PATIENCE)
        if path != f"/invocation/{id_}/response":
            raise FunctionFailed(f"{body['errorType']}: {body['errorMessage']}")
        return body

    def _answered(self, within: float) -> tuple[str, Any]:
        until = time.monotonic() + within
        while self.answers.empty():
            if time.monotonic() > until:
                self._kill()
                raise FunctionFailed(f"Task timed out after {self._timeout}")
            assert self._process is not None
            if self._process.poll() is not None and self.answers.empty():
                raise FunctionFailed(f"Runtime exited with {self._process.poll()}")
            time.sleep(0.005)
        return self.answers.get()

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", self._handler],
                cwd=self._folder,
                env=environment(
                    AWS_LAMBDA_RUNTIME_API=f"127.0.0.1:{self._server.server_port}",
                    AWS_LAMBDA_FUNCTION_NAME="shop",
                    AWS_LAMBDA_FUNCTION_MEMORY_SIZE="512",
                    AWS_LAMBDA_FUNCTION_VERSION="$LATEST",
                    LAMBDA_TASK_ROOT=str(self._folder),
                    **self._env,
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what a task forked, too
            process.wait()
            self.invocations.put(None)  # for the request that it left behind


class SqsMapping:
    """An event source mapping with ReportBatchItemFailures, one poll at a time.

    Args:
        client: A botocore client.
        url: The queue's URL.
        runtime: The function.
        visibility: The queue's visibility timeout.
    """

    def __init__(self, client: Any, url: str, runtime: LambdaRuntime, *, visibility: timedelta) -> None:
        self._client = client
        self._url = url
        self._runtime = runtime
        self._visibility = visibility

    def poll(self, *, wait: int = 1) -> list[str] | None:
        """Receives a batch and invokes the function. The ids that it reports as failed; `None`: nothing was there."""
        messages = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait,
            VisibilityTimeout=int(self._visibility.total_seconds()),
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return None
        answer = self._runtime.invoke({"Records": [record_of(message, self._url) for message in messages]})
        failed = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
        done = [message["ReceiptHandle"] for message in messages if message["MessageId"] not in failed]
        if done:
            self._client.delete_message_batch(
                QueueUrl=self._url,
                Entries=[{"Id": str(place), "ReceiptHandle": handle} for place, handle in enumerate(done)],
            )
        return failed


def record_of(message: Mapping[str, Any], url: str) -> dict[str, Any]:
    """A received message as the mapping writes it into its event."""
    account, name = url.split("/")[-2:]
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {
            attribute: {
                "stringValue": given.get("StringValue"),
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": given["DataType"],
            }
            for attribute, given in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:{account}:{name}",
        "awsRegion": "us-east-1",
    }
