"""The server of the health pages: what it answers, and to whom."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cloudq.errors import ConfigurationError
from cloudq.running import pages
from cloudq.running.events import Snapshot
from cloudq.running.pages import HealthServer, Page

ANY_PORT = ("127.0.0.1", 0)


class Told:
    """Pages that say what the test has them say."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def healthz(self) -> Page:
        return Page(ok=not self.problems, problems=self.problems, queues={"q": "polling"}, counts=Snapshot(acked=2))

    def readyz(self) -> Page:
        return Page(ok=False, problems=["stopping"], queues={}, counts=Snapshot())


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def server(told: Told) -> Iterator[HealthServer]:
    made = HealthServer(ANY_PORT, told)
    made.start()
    yield made
    made.stop()


def get(server: HealthServer, path: str, method: str = "GET") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        assert "application/json" == response.getheader("Content-Type")
        assert "no-store" == response.getheader("Cache-Control")
        assert method == "HEAD" or len(body) == int(response.getheader("Content-Length") or 0)
        return response.status, json.loads(body) if body else None
    finally:
        connection.close()


def test_a_page_says_whether_all_is_well_and_why_not(server: HealthServer, told: Told) -> None:
    """200 or 503, with problems, queues and counts; a query changes nothing."""
    status, page = get(server, "/healthz?verbose")
    assert (200, True, []) == (status, page["ok"], page["problems"])
    assert ({"q": "polling"}, 2) == (page["queues"], page["counts"]["acked"])
    told.problems.append("no thread can be started")
    status, page = get(server, "/healthz")
    assert (503, False, ["no thread can be started"]) == (status, page["ok"], page["problems"])
    status, page = get(server, "/readyz")
    assert (503, ["stopping"]) == (status, page["problems"])


def test_head_has_no_body(server: HealthServer) -> None:
    """The status alone."""
    assert (200, None) == get(server, "/healthz", "HEAD")


def test_other_paths_are_not_found(server: HealthServer) -> None:
    """The answer says which there are."""
    assert (404, {"error": "there are /healthz and /readyz"}) == get(server, "/metrics")


def test_nonsense_is_answered_and_forgotten(server: HealthServer) -> None:
    """A request line without end is refused, and the pages work on."""
    with socket.create_connection(server.address, timeout=10) as client:
        client.sendall(b"GET /" + b"x" * 70_000)
        assert b" 414 " in client.recv(1000)
    assert 200 == get(server, "/healthz")[0]


def test_a_client_that_says_nothing_is_dropped(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And holds up no other one meanwhile."""
    monkeypatch.setattr(pages, "CLIENT_SECONDS", 0.1)
    with socket.create_connection(server.address, timeout=10) as silent:
        assert 200 == get(server, "/healthz")[0]
        assert b"" == silent.recv(1000)


def test_a_client_that_sends_a_byte_now_and_then_is_dropped_too(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole request has one deadline, and not each of its bytes."""
    monkeypatch.setattr(pages, "CLIENT_SECONDS", 0.5)
    with socket.create_connection(server.address, timeout=0.1) as slow:
        began = time.monotonic()
        ended = False
        while not ended and time.monotonic() - began < 10:
            try:
                slow.sendall(b"G")
                ended = not slow.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                ended = True
        assert ended
    assert 200 == get(server, "/healthz")[0]


def test_a_crowd_of_silent_clients_keeps_no_probe_out(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections, and so threads, are few at any time; the oldest of them give way to the newest."""
    monkeypatch.setattr(pages, "CLIENT_SECONDS", 60)
    crowd: list[socket.socket] = []
    try:
        for _ in range(5 * pages.MOST_CONNECTIONS):
            crowd.append(socket.create_connection(server.address, timeout=10))
            most = sum(thread.name.startswith("Thread-") for thread in threading.enumerate())
            assert most <= 2 * pages.MOST_CONNECTIONS
        try:
            status = get(server, "/healthz")[0]
        except (OSError, http.client.HTTPException):
            status = 0
        assert 200 == status
        assert b"" == crowd[0].recv(1000)
    finally:
        for client in crowd:
            client.close()


def test_what_a_request_may_take_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers without end are heard up to a bound, and no further."""
    monkeypatch.setattr(pages, "MOST_BYTES", 1000)
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"x" * 5000)
        there.shutdown(socket.SHUT_WR)
        assert 1000 == len(pages._Request(here, time.monotonic() + 10).readall() or b"")


def test_a_client_that_goes_away_writes_nothing_to_stderr(
    server: HealthServer, told: Told, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers fill no log with tracebacks."""
    handled = threading.Event()
    handle = pages._Server.handle_error

    def note(*arguments: Any) -> None:
        handle(*arguments)
        handled.set()

    monkeypatch.setattr(pages._Server, "handle_error", note)
    monkeypatch.setattr(told, "healthz", lambda: 1 / 0)
    with socket.create_connection(server.address, timeout=10) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b"" == client.recv(1000)
    assert handled.wait(10)
    assert "" == capfd.readouterr().err


def test_a_port_in_use_is_a_configuration_error(told: Told) -> None:
    """It is named, with what to do."""
    with socket.create_server(ANY_PORT) as taken, pytest.raises(ConfigurationError, match="can't be served") as caught:
        HealthServer(taken.getsockname(), told)
    assert "choose another port" == caught.value.hint
    assert "127.0.0.1:" in str(caught.value)


def test_a_server_that_never_started_can_be_stopped(told: Told) -> None:
    """Its port is free again."""
    made = HealthServer(ANY_PORT, told)
    address = made.address
    made.stop()
    for thread in threading.enumerate():
        if thread.name == "cloudq-health-end":
            thread.join(10)
    with socket.create_server(address):
        pass
