"""Connections that don't say anything starve nobody, and a request's head has an end. Over loopback."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import pytest
import uvicorn

import cloudq.push
from cloudq.push import PushSettings, server
from cloudq.push.connections import LARGEST_HEAD, BoundedProtocol, Connections
from tests.unit.push.fakes import OPEN, Gate, certificates_of, declare, edge_of, push, token
from tests.unit.push.test_server import Running, running
from tests.unit.worker.fakes import until

HALF = b"POST / HTTP/1.1\r\nHost: local"


class Transport:
    """A connection's end, as far as it is closed."""

    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class Silent:
    """What `Connections` counts."""

    def __init__(self) -> None:
        self.transport = Transport()


def test_one_without_a_request_goes_first():
    """The oldest that never had one; then the oldest that is kept for its next; then the new one; never a request."""
    bounds: Any = Connections(3)
    kept, silent, busy = Silent(), Silent(), Silent()
    for one in (kept, silent, busy):
        bounds.add(one)
    for one in (kept, busy):
        bounds.note(one, busy=True)
    bounds.note(kept, busy=False)
    newest = [Silent() for _ in range(3)]
    bounds.add(newest[0])
    assert [False, True, False] == [one.transport.aborted for one in (kept, silent, busy)]
    bounds.note(newest[0], busy=True)
    bounds.add(newest[1])
    assert [True, False] == [one.transport.aborted for one in (kept, busy)]
    bounds.note(newest[1], busy=True)
    bounds.add(newest[2])
    assert [False, False, True, False] == [one.transport.aborted for one in (*newest, busy)]
    assert 3 == len(bounds)
    for _ in range(2):
        bounds.remove(busy)
    assert 2 == len(bounds)


@contextmanager
def half_open(address: tuple[str, int], count: int, said: bytes = HALF) -> Iterator[list[socket.socket]]:
    """Connections that have sent only so much."""
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(count)]
        for one in opened:
            one.sendall(said)
        yield opened


def test_half_open_connections_starve_nobody(backend, monkeypatch):
    """With more of them than may be held, pushes are taken and the pages answered, and no more are held."""
    monkeypatch.setattr(server, "LEAST_CONNECTIONS", 40)
    monkeypatch.setattr(server, "CONNECTIONS_PER_PLACE", 1)
    app, _ = backend
    ran = declare(app)
    with certificates_of("a") as certificates:
        settings = PushSettings(certificates_url=certificates.url)
        with running(app, settings) as worker, half_open(worker.worker.address, 60):
            assert [200] * 5 == [worker.push(*push("t", {"n": n}, id=str(n), token=token())) for n in range(5)]
            assert (200, 200) == (worker.page("/healthz")[0], worker.page("/readyz")[0])
            assert len(held_by(worker)) <= 40
            with half_open(worker.worker.address, 60):
                assert 200 == worker.push(*push("t", {"n": 5}, id="5", token=token()))
                assert 200 == worker.page("/healthz")[0]
    assert list(range(6)) == ran


def held_by(worker: Running) -> Connections:
    return worker.worker._uvicorn.config.http.bounds


def test_a_running_push_is_never_the_one_that_goes(backend, monkeypatch):
    """However many come while its task runs."""
    monkeypatch.setattr(server, "LEAST_CONNECTIONS", 20)
    monkeypatch.setattr(server, "CONNECTIONS_PER_PLACE", 1)
    app, _ = backend
    gate = Gate()

    @app.task("t")
    def task(name: int) -> None:
        gate(name)

    with running(app) as worker:
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(worker.push(*push("t", {"name": 1}))))
        thread.start()
        gate.wait_started()
        with half_open(worker.worker.address, 60):
            gate.goes_on.set()
            thread.join(60)
    assert [200] == answers


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"POST",
        HALF,
        b"POST / HTTP/1.1\r\nHost: x\r\nA: b\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234",
    ],
    ids=["nothing", "a method", "half a header", "no end of the headers", "half of the next", "half an unwanted body"],
)
def test_a_head_has_an_end(backend, monkeypatch, said):
    """A request that doesn't get to its end is hung up on, the first of a connection as any later one."""
    monkeypatch.setattr(Connections.__init__, "__defaults__", (0.05,))
    app, _ = backend
    with running(app) as worker, half_open(worker.worker.address, 1, said) as (one,):
        until(lambda: not len(held_by(worker)))
        with suppress(ConnectionResetError):
            while one.recv(4096):
                pass


def test_a_connection_is_kept_between_requests(backend, monkeypatch):
    """The time of a head is no bound for a sender that comes again later, nor for a task."""
    monkeypatch.setattr(Connections.__init__, "__defaults__", (60.0,))
    app, _ = backend
    ended = asyncio.Event()

    @app.task("t")
    def shorten() -> None:  # only now that the first head is there, which a busy machine may have held up
        held_by(worker).head_seconds = 0.2

    @app.task("slow")
    async def slow() -> None:
        try:
            await asyncio.wait_for(ended.wait(), 0.5)
        except TimeoutError:
            return

    with running(app) as worker, closing(http.client.HTTPConnection(*worker.worker.address, timeout=60)) as connection:
        connection.connect()
        held = connection.sock
        for number, task in enumerate(("t", "slow", "t")):
            headers, body = push(task, id=str(number))
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            assert (200, held) == (answer.status, connection.sock)
            answer.read()
            assert all(one._head is None for one in list(held_by(worker)._kept))


def test_the_parser_is_pinned(backend):
    """Where the other one is installed, too: that one would read headers without end."""
    import httptools  # noqa: F401 - it is there

    app, _ = backend
    with running(app) as worker:
        config = worker.worker._uvicorn.config
        assert isinstance(config.http, type)
        assert issubclass(config.http, BoundedProtocol)
        with socket.create_connection(worker.worker.address, timeout=60) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            line = b"X: " + b"x" * 1000 + b"\r\n"
            sent = 0
            try:
                while sent < 64 * LARGEST_HEAD:
                    raw.sendall(line)
                    sent += len(line)
                answer = raw.recv(4096)
            except OSError:
                answer = b"HTTP/1.1 400 "  # it has hung up
            assert answer.startswith(b"HTTP/1.1 400 ")
        assert 200 == worker.page("/healthz")[0]


@contextmanager
def served(app: Any, parser: Any) -> Iterator[tuple[str, int]]:
    """An ASGI application on a uvicorn of one's own."""
    listener = socket.create_server(("127.0.0.1", 0))
    own = uvicorn.Server(uvicorn.Config(app, http=parser, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=own.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[:2]
    finally:
        own.should_exit = True
        thread.join(60)


@pytest.mark.parametrize("parser", ["h11", "httptools"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "POST"])
@pytest.mark.parametrize("path", ["/", "/healthz"])
def test_an_endless_body_is_hung_up_on(backend, parser, method, path):
    """Of any method, at any path, under both parsers: it is answered, and then nothing more is read of it."""
    app, _ = backend
    piece = b"%x\r\n%s\r\n" % (4096, b"x" * 4096)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with (
        edge_of(app, PushSettings()) as edge,
        served(cloudq.push.asgi(edge), parser) as address,
        socket.create_connection(address, timeout=60) as raw,
    ):
        raw.sendall(head.encode())
        with pytest.raises(OSError, match=r"pipe|reset"):
            raw.sendall(piece * 20_000)  # 80 MB


@pytest.mark.parametrize("parser", ["h11", "httptools"])
def test_pushes_under_both_parsers(backend, parser):
    """An app's own server may have either."""
    app, _ = backend
    ran = declare(app)
    with (
        edge_of(app, OPEN) as edge,
        served(cloudq.push.asgi(edge), parser) as address,
        closing(http.client.HTTPConnection(*address, timeout=60)) as connection,
    ):
        for number in range(3):
            headers, body = push("t", {"n": number}, id=str(number))
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            assert 200 == answer.status
            answer.read()
        connection.request("POST", "/", b"{}", {"Origin": "null"})
        assert 403 == connection.getresponse().status
    assert [0, 1, 2] == ran


@pytest.mark.parametrize(
    ("files", "expected"), [(20_000, (1000, 1024)), (1024, (672, 224)), (130, (1, 1)), (None, (1000, 1024))]
)
def test_room(monkeypatch, files, expected):
    """As many connections as there may be open files, with some left; a thousand, or more where more may wait."""
    import resource

    limit = resource.RLIM_INFINITY if files is None else files
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert expected == server._room(PushSettings())
    if files is None:
        assert (4000, 1024) == server._room(PushSettings(concurrency=100, waiting=100))
