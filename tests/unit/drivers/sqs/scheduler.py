"""`FakeScheduler`: an EventBridge Scheduler on a local port that keeps schedules and fires them when told the time."""

from __future__ import annotations

import json
import re
import threading
import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote

from tests.unit.drivers.sqs.fakes import FakeSqs

EXPRESSION = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")


class FakeScheduler:
    """Schedules by name, over HTTP as the service's API has it: `with FakeScheduler() as scheduler: scheduler.url`.

    Attributes:
        schedules: What is scheduled.
        fail: What the next calls answer with, `(status, code)`; `None` to work.
        lose_answer: Whether the next call's connection is cut after the schedule was made.
    """

    def __init__(self) -> None:
        self.schedules: dict[str, dict[str, Any]] = {}
        self.fail: tuple[int, str] | None = None
        self.lose_answer = False
        self.calls = 0

    def __enter__(self) -> Self:
        scheduler = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = scheduler.create(unquote(self.path.removeprefix("/schedules/")), body)
                if scheduler.lose_answer:
                    scheduler.lose_answer = False
                    self.close_connection = True
                    return
                encoded = json.dumps(answer).encode()
                self.send_response(status)
                if status >= 400:
                    self.send_header("x-amzn-ErrorType", answer["Code"])
                self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                self.wfile.write(encoded)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def create(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """CreateSchedule: refuses what the service refuses, and a name that is taken."""
        self.calls += 1
        if self.fail is not None:
            status, code = self.fail
            return status, {"Code": code, "Message": "told to"}
        if not re.fullmatch(r"[0-9a-zA-Z-_.]{1,64}", name) or not EXPRESSION.fullmatch(body["ScheduleExpression"]):
            return 400, {"Code": "ValidationException", "Message": "no"}
        if name in self.schedules:
            return 409, {"Code": "ConflictException", "Message": f"Schedule {name} already exists."}
        self.schedules[name] = body
        return 200, {"ScheduleArn": f"arn:aws:scheduler:test:1:schedule/default/{name}"}

    def due(self, name: str) -> datetime:
        """When a schedule is due."""
        match = EXPRESSION.fullmatch(self.schedules[name]["ScheduleExpression"])
        assert match is not None
        return datetime.fromisoformat(match[1]).replace(tzinfo=UTC)

    def fire(self, now: datetime, sqs: FakeSqs, *, early: timedelta = timedelta(0)) -> int:
        """Sends what is due, to the second or so much earlier; a schedule that is done is deleted, if it says so."""
        due = [name for name in self.schedules if self.due(name) - early <= now]
        for name in due:
            body = self.schedules[name]
            # The service puts its own values in place of these wherever they stand.
            text = re.sub(r"<aws\.scheduler\.[a-z-]+>", "REPLACED", body["Target"]["Input"])
            call = json.loads(text)
            assert "arn:aws:scheduler:::aws-sdk:sqs:sendMessage" == body["Target"]["Arn"]
            sqs.send_message_batch(QueueUrl=call.pop("QueueUrl"), Entries=[{"Id": "0", **call}])
            if body.get("ActionAfterCompletion") == "DELETE":
                del self.schedules[name]
        return len(due)
