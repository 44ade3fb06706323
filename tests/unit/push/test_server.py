"""The push worker: served on uvicorn, told to stop, healthy or not. In this process, over loopback."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import pytest

import cloudq
from cloudq import App, Context
from cloudq.errors import ConfigurationError
from cloudq.push import PushSettings
from cloudq.push.server import PushWorker, ServerSettings
from cloudq.running.main_loop import MainLoop
from tests.unit.push.fakes import OPEN, Gate, certificates_of, push, pushed, token
from tests.unit.worker.fakes import until


class Running:
    """A push worker in a thread of its own, on a free port."""

    def __init__(self, app: App, settings: PushSettings = OPEN, **server: Any) -> None:
        self.worker = PushWorker(app, settings, ServerSettings(**{"port": 0, **server}))
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.code = self.worker.run()

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection(*self.worker.address, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()

    def push(self, headers: dict[str, str], body: bytes) -> int:
        return self.request("POST", "/", headers, body)[0]

    def page(self, path: str) -> tuple[int, Any]:
        status, body = self.request("GET", path, {}, b"")
        return status, json.loads(body)

    def join(self) -> int | None:
        self._thread.join(60)
        assert not self._thread.is_alive(), "it didn't stop"
        return self.code


@contextmanager
def running(app: App, settings: PushSettings = OPEN, **server: Any) -> Iterator[Running]:
    worker = Running(app, settings, **server)
    try:
        yield worker
    finally:
        worker.worker.stop(now=True)
        worker.join()


def test_it_serves(backend):
    """Pushes at any path, pages beside them without a token, and an end with 0."""
    app, _ = backend
    ran = []
    app.task("t")(lambda: ran.append(1))
    with certificates_of("a") as server, running(app, PushSettings(certificates_url=server.url)) as worker:
        assert 200 == worker.push(*push("t", token=token()))
        assert 401 == worker.push(*push("t"))
        assert 401 == worker.push({}, b"x" * 10_000)
        with socket.create_connection(worker.worker.address, timeout=60) as raw:
            raw.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            answer = b"".join(iter(lambda: raw.recv(4096), b""))
            assert answer.startswith(b"HTTP/1.1 401 "), "and hung up, rather than read on without end"
        status, page = worker.page("/healthz")
        assert (200, 1, {}) == (status, page["counts"]["succeeded"], page["queues"])
        assert 200 == worker.page("/readyz")[0]
        worker.worker.stop()
        assert 0 == worker.join()
    assert [1] == ran


def test_large_bodies(backend):
    """10 MB are refused by their declared length, or, without one, as they come; none is decoded."""
    app, driver = backend
    with running(app) as worker:
        host, port = worker.worker.address
        with closing(http.client.HTTPConnection(host, port, timeout=60)) as connection:
            connection.putrequest("POST", "/")
            connection.putheader("Content-Length", str(10 * 1024 * 1024))
            connection.endheaders()
            assert 413 == connection.getresponse().status
        with socket.create_connection((host, port), timeout=60) as raw:
            raw.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            piece = b"%x\r\n%s\r\n" % (64 * 1024, b"x" * 64 * 1024)
            raw.settimeout(60)
            sender = threading.Thread(target=_sent, args=(raw, piece, 160))
            sender.start()
            assert b"HTTP/1.1 413 " == raw.recv(13)
            sender.join(60)
        assert 200 == worker.page("/healthz")[0]
    assert [] == driver.decoded


def _sent(raw: socket.socket, piece: bytes, count: int) -> None:
    try:
        for _ in range(count):
            raw.sendall(piece)
    except OSError:
        return  # hung up on, as it should be


def test_no_answer_waits_for_its_head_to_be_acknowledged(backend):
    """Its body is a packet of its own, which the system would hold back for 40 ms."""
    app, _ = backend
    with running(app) as worker:
        listening = worker.worker._socket
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_main_thread_sleeps_while_pushes_come(backend, monkeypatch):
    """It would only take turns from those that answer them. Once nothing more is taken, it looks at each answer."""
    app, _ = backend
    app.task("t")(lambda: None)
    looks: list[bool] = []
    look_again = MainLoop.look_again
    monkeypatch.setattr(MainLoop, "look_again", lambda loop: (looks.append(True), look_again(loop)))
    with running(app, max_tasks=2) as worker:
        assert 200 == worker.push(*push("t", id="m1"))
        assert [] == looks
        assert 200 == worker.push(*push("t", id="m2"))
        assert 0 == worker.join()
        assert [] != looks


def test_a_body_that_does_not_come(backend):
    """It is 408 after the time that a body may take."""
    app, driver = backend
    settings = PushSettings(insecure_no_auth=True, body_timeout=timedelta(milliseconds=50))
    with running(app, settings) as worker, socket.create_connection(worker.worker.address, timeout=60) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
        assert b"HTTP/1.1 408 " == raw.recv(13)
    assert [] == driver.decoded


def test_garbage_is_not_http(backend):
    """What isn't HTTP is 400, and the next one is served."""
    app, _ = backend
    with running(app) as worker:
        with socket.create_connection(worker.worker.address, timeout=60) as raw:
            raw.sendall(b"\x00\xff\r\n\r\n")
            assert b"HTTP/1.1 400 " == raw.recv(13)
        assert 200 == worker.page("/healthz")[0]


def test_the_first_signal_lets_running_tasks_finish(backend):
    """New pushes are answered with 503 meanwhile, the pages say so, and it ends with 0."""
    app, _ = backend
    gate = Gate()

    @app.task("t")
    def task(name: str) -> None:
        gate(name)

    with running(app) as worker, ThreadPoolExecutor(1) as pool:
        first = pool.submit(worker.push, *push("t", {"name": "1"}, id="1"))
        gate.wait_started()
        worker.worker.stop()
        until(lambda: worker.worker.edge.admission.closed)
        assert 503 == worker.push(*push("t", {"name": "2"}, id="2"))
        assert 503 == worker.page("/readyz")[0]
        assert 200 == worker.page("/healthz")[0]
        gate.goes_on.set()
        assert 200 == first.result(60)
        assert 0 == worker.join()
    assert ["1"] == gate.ran


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("second", [True, False], ids=["second signal", "end of the grace"])
def test_what_does_not_finish_is_pushed_again(backend, kind, second):
    """After the grace, or at a second signal, the task is told, its push is answered with 500, and it ends with 0."""
    app, _ = backend
    import asyncio

    seen: list[Context] = []
    goes_on = threading.Event()

    @app.task("plain")
    def plain(context: Context) -> None:
        seen.append(context)
        goes_on.wait(60)

    @app.task("asynchronous")
    async def asynchronous(context: Context) -> None:
        seen.append(context)
        await asyncio.sleep(60)

    grace = timedelta(minutes=1) if second else timedelta(milliseconds=20)
    with running(app, grace=grace) as worker, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(worker.push, *push("plain" if kind == "def" else "asynchronous"))
        until(lambda: seen)
        began = time.monotonic()
        worker.worker.stop(now=second)
        assert 500 == answer.result(60)
        assert 0 == worker.join()
        assert time.monotonic() - began < 30
        goes_on.set()
    assert seen[0].lease_lost.is_set()


def test_max_tasks(backend):
    """After so many tasks it ends with 0; what comes meanwhile comes again."""
    app, _ = backend
    app.task("t")(lambda: None)
    with running(app, max_tasks=2) as worker:
        assert [200, 200] == [worker.push(*push("t", id=str(n))) for n in range(2)]
        assert 0 == worker.join()


def test_pages_elsewhere(backend):
    """`health` serves them on an address of their own, too."""
    app, _ = backend
    with running(app, health=("127.0.0.1", 0)) as worker:
        assert worker.worker._health is not None
        with closing(http.client.HTTPConnection(*worker.worker._health.address, timeout=60)) as connection:
            connection.request("GET", "/readyz")
            assert 200 == connection.getresponse().status


def test_metrics(backend):
    """What is pushed is counted, and a scrape asks how the worker stands."""
    app, _ = backend
    app.task("t")(lambda: None)
    with running(app, metrics=("127.0.0.1", 0)) as worker:
        assert 200 == worker.push(*push("t"))
        assert worker.worker._metrics is not None
        with closing(http.client.HTTPConnection(*worker.worker._metrics.address, timeout=60)) as connection:
            connection.request("GET", "/metrics")
            page = connection.getresponse().read().decode()
    assert 'outcome="succeeded"' in page
    assert 'task="t"} 1.0' in page
    assert "cloudq_worker_ready 1.0" in page
    assert 'cloudq_outage{kind="certificates",queue=""} 0.0' in page


def test_a_port_that_is_taken(backend):
    """It is refused at the start, by its number."""
    app, _ = backend
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            PushWorker(app, OPEN, ServerSettings(port=port))
    with pytest.raises(ConfigurationError):
        PushWorker(app, OPEN, ServerSettings(host="no.such.host.invalid"))


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.com"])  # noqa: S104 - refused before
def test_without_tokens_only_on_loopback(backend, host):
    """Where others could connect, it is refused at the start."""
    app, _ = backend
    with pytest.raises(ConfigurationError, match="without tokens"):
        PushWorker(app, OPEN, ServerSettings(host=host))


def test_nobody_who_may_push():
    """Without an account it doesn't start: everybody can have a token of Google's for any audience."""
    app = App("cloudtasks://project-1/europe-west1?target=https://worker.example/")
    with pushed() as (_, driver), app.using(driver), pytest.raises(ConfigurationError, match="who may push"):
        PushWorker(app)


@pytest.mark.parametrize("wrong", [{"grace": timedelta(seconds=-1)}, {"max_tasks": 0}])
def test_server_settings(wrong):
    """What can't work is refused."""
    with pytest.raises(ConfigurationError):
        ServerSettings(**wrong)


def test_a_server_that_ends_by_itself_is_a_failure(backend, monkeypatch):
    """Exit code 1, not a process that does nothing."""
    app, _ = backend
    worker = PushWorker(app, OPEN, ServerSettings(port=0))

    def broken(**_: object) -> None:
        raise RuntimeError("no loop")

    monkeypatch.setattr(worker._uvicorn, "run", broken)
    assert 1 == worker.run()
    assert isinstance(worker.snapshot(), cloudq.running.events.Snapshot)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_cut_connection_is_a_lost_lease(backend, kind):
    """The service pushes again what it has no answer to: the task is told at once, and what fails then stores no copy,
    as there would be two of it.
    """
    app, driver = backend
    import asyncio

    seen: list[Context] = []
    ended = threading.Event()

    @app.task("plain")
    def plain(context: Context) -> None:
        seen.append(context)
        assert context.lease_lost.wait(60)
        ended.set()
        raise ValueError("too late")

    @app.task("asynchronous")
    async def asynchronous(context: Context) -> None:
        seen.append(context)
        assert await asyncio.to_thread(context.lease_lost.wait, 60)
        ended.set()
        raise ValueError("too late")

    with running(app) as worker:
        with socket.create_connection(worker.worker.address, timeout=60) as raw:
            raw.sendall(posted(*push("plain" if kind == "def" else "asynchronous")))
            until(lambda: seen)
            assert not seen[0].lease_lost.wait(0.05)
        assert ended.wait(60)
        until(lambda: not worker.worker.edge.admission.in_hand)
        assert 1 == worker.worker.snapshot().lease_lost
    assert [] == driver.sent


def test_what_lay_in_the_socket_of_a_sender_who_has_gone_is_not_started(backend):
    """A worker that was frozen, or is only starting, finds it there; the service has pushed it again by then."""
    app, driver = backend
    ran = []
    app.task("t")(lambda: ran.append(1))
    worker = PushWorker(app, OPEN, ServerSettings(port=0))
    for n in range(5):
        with socket.create_connection(worker.address, timeout=60) as raw:
            raw.sendall(posted(*push("t", id=str(n))))
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        until(lambda: len(driver.decoded) == 5)
        until(lambda: not worker.edge.admission.in_hand)
    finally:
        worker.stop()
        thread.join(60)
    assert [] == ran
    assert 0 == worker.snapshot().started


def posted(headers: dict[str, str], body: bytes) -> bytes:
    """A push as it is on the wire."""
    lines = [f"{name}: {value}" for name, value in {"host": "localhost", **headers}.items()]
    return "\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode() + body
