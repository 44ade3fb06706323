"""`Stand`: the emulator, the app that sends, and worker processes that the emulator pushes to, with tokens."""

from __future__ import annotations

import socket
import subprocess
import threading
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest
from google.cloud.tasks_v2 import Queue, RateLimits, RetryConfig
from google.protobuf.duration_pb2 import Duration

from cloudq import App
from cloudq.emulators.cloud_tasks import VARIABLE, CloudTasksEmulator
from tests.chaos.cloud_tasks.grpc_proxy import GrpcProxy
from tests.chaos.cloud_tasks.liar import Liar
from tests.integration.processes import start_worker, wait_until

ACCOUNT: Final = "pusher@my-project.iam.gserviceaccount.com"
LOCATION: Final = "projects/my-project/locations/europe-west1"
CONCURRENCY: Final = 10
_keepers: Final[list[socket.socket]] = []
# Shorter than the service's, and not so short that an outage of these tests has a hundred pushes of a message fail: by
# then it is taken for poison (test_outages.py).
BACKOFF: Final = RetryConfig(max_attempts=-1, min_backoff=Duration(nanos=50_000_000), max_backoff=Duration(seconds=1))

TASKS: Final = """
import os
import time
from datetime import timedelta
from pathlib import Path

import cloudq

app = cloudq.App()


def note(file, text):
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{text}\\n".encode())
    os.fsync(handle)
    os.close(handle)


@app.task("effect")
def effect(n: int) -> None:
    time.sleep(0.01)
    note("effects.txt", n)
    time.sleep(0.01)


@app.task("flaky", retry=cloudq.RetryPolicy())
def flaky(context: cloudq.Context, n: int) -> None:
    if context.attempt == 1:
        note("first.txt", n)
        raise cloudq.Retry(reason="once more", delay=timedelta(milliseconds=100))
    note("effects.txt", n)


@app.task("dies")
def dies(n: int) -> None:
    if not Path("mended").exists():
        raise cloudq.DeadLetter("not yet")
    note("effects.txt", n)


@app.task("empty")
def empty(n: int) -> None: ...


@app.task("outlives")
def outlives(context: cloudq.Context, n: int) -> None:
    note("said.txt", f"starts {os.getpid()}")
    while True:
        try:
            ignores(context)
            break
        except BaseException as error:
            note("said.txt", f"interrupted {os.getpid()} {type(error).__name__}")
    note("said.txt", f"ends {os.getpid()}")


def ignores(context: cloudq.Context) -> None:
    told = False
    while not Path("go").exists():
        if context.lease_lost.is_set() and not told:
            told = True
            note("said.txt", f"lost {os.getpid()}")
        time.sleep(0.01)


@app.task("large")
def large(n: int, text: str) -> None:
    if len(text) == 200_000 and text.startswith("ab"):
        note("effects.txt", n)
"""


class Stand:
    """One app, one emulator, and the port of one worker.

    Args:
        folder: Where the tasks are, and what they leave.
        emulator: Running.
        monkeypatch: Sets the environment of this process's own app.
        proxy: Between the worker and the emulator, if there is one.
        target: Where to push to, if that isn't the worker itself.
        env: More of the workers' environment.
    """

    def __init__(
        self,
        folder: Path,
        emulator: CloudTasksEmulator,
        monkeypatch: pytest.MonkeyPatch,
        *,
        proxy: GrpcProxy | Liar | None = None,
        target: int | None = None,
        **env: str,
    ) -> None:
        self.folder = folder
        self.emulator = emulator
        self.port = free_port()
        (folder / "shop.py").write_text(TASKS)
        self.url = (
            f"cloudtasks://my-project/europe-west1?target=http://127.0.0.1:{target or self.port}/"
            f"&service_account={ACCOUNT}"
        )
        self.env = {
            "CLOUDQ_URL": self.url,
            "CLOUDQ_APP": "shop",
            "CLOUDQ_OIDC_CERTS_URL": emulator.certificates_url,
            VARIABLE: emulator.address if proxy is None else proxy.address,
            **env,
        }
        monkeypatch.setenv(VARIABLE, emulator.address)
        limits = RateLimits(max_concurrent_dispatches=CONCURRENCY)
        emulator.create_queue(Queue(name=f"{LOCATION}/queues/default", retry_config=BACKOFF, rate_limits=limits))
        emulator.create_queue(Queue(name=f"{LOCATION}/queues/default-dlq"))
        self.client = emulator.client()
        self.client.pause_queue(name=f"{LOCATION}/queues/default-dlq")
        self.app = App(self.url)
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.app.close()
        for process in self.processes:
            process.kill()
            process.wait()

    def start(self, port: int | None = None, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a worker; doesn't wait until it is ready."""
        options = ("--port", str(port or self.port), "--concurrency", str(CONCURRENCY), *arguments)
        worker = start_worker(self.folder, *options, **self.env)
        self.processes.append(worker)
        return worker

    def ready(self, port: int | None = None) -> None:
        """Returns once the worker takes pushes."""
        url = f"http://127.0.0.1:{port or self.port}/readyz"

        def answers() -> bool:
            with suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
                return bool(response.status == 200)
            return False

        wait_until(answers, within=60, what="the worker is ready")

    def lines(self, name: str) -> list[str]:
        """What the tasks wrote to a file."""
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def effects(self) -> Counter[int]:
        """How often each number's effect is there."""
        return Counter(map(int, self.lines("effects.txt")))

    def wait_empty(self, within: float) -> None:
        """Returns once the queue holds nothing."""
        stats = self.app.queue("default").stats

        def empty() -> bool:
            now = stats()
            return now.ready == now.in_flight == now.delayed == 0

        wait_until(empty, within=within, what="the queue is empty")

    def log(self) -> str:
        """What the workers said."""
        return (self.folder / "worker.log").read_text()


class Balancer:
    """Passes connections on to the workers' ports in turn, as what is before several of them does."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)

    def _run(self) -> None:
        turn = 0
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            port = self.ports[turn % len(self.ports)]
            turn += 1
            try:
                worker = socket.create_connection(("127.0.0.1", port))
            except OSError:
                client.close()
                continue
            self._open += [client, worker]
            both = threading.Barrier(2)
            for one, other in ((client, worker), (worker, client)):
                threading.Thread(target=_pump, args=(one, other, both), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, both: threading.Barrier) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
    with suppress(threading.BrokenBarrierError):
        both.wait(60)
    source.close()


def free_port() -> int:
    """A port nobody listens at, kept from other processes: a server of ours may listen there, by `SO_REUSEADDR`."""
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    _keepers.append(keeper)
    port: int = keeper.getsockname()[1]
    return port


def parameters(n: int, text: str = "") -> None:
    """Those of the tasks, for the app that sends."""
    del n, text
