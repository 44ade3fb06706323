"""The server of health pages and metrics: what it answers, and to whom."""

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
from cloudq.running import page_server
from cloudq.running.page_server import Answer, PageServer

ANY_PORT = ("127.0.0.1", 0)


class Told:
    """Pages that say what the test has them say."""

    def healthz(self, accept: str) -> Answer:
        return Answer(200, b'{"ok":true}')

    def metrics(self, accept: str) -> Answer:
        return Answer(200, f"# for {accept}".encode(), "text/plain")


def serve(told: Told, address: tuple[str, int] = ANY_PORT) -> PageServer:
    pages = {
        "/healthz": lambda accept: told.healthz(accept),  # noqa: PLW0108 - a test replaces it
        "/metrics": told.metrics,
    }
    return PageServer(address, pages, what="the pages", name="cloudq-pages")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def server(told: Told) -> Iterator[PageServer]:
    made = serve(told)
    made.start()
    yield made
    made.stop()


def get(server: PageServer, path: str, method: str = "GET") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(*server.address, timeout=60)
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


def test_a_page_is_answered_with_its_own_type(server: PageServer) -> None:
    """It learns which types the client takes; a query changes nothing."""
    assert (200, {"ok": True}) == get(server, "/healthz?verbose")
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    response = connection.getresponse()
    assert ("text/plain", b"# for application/openmetrics-text") == (
        response.getheader("Content-Type"),
        response.read(),
    )
    connection.close()


def test_head_has_no_body(server: PageServer) -> None:
    """The status alone."""
    assert (200, None) == get(server, "/healthz", "HEAD")


def test_other_paths_are_not_found(server: PageServer) -> None:
    """The answer says which there are."""
    assert (404, {"error": "there are /healthz and /metrics"}) == get(server, "/readyz")


def test_nonsense_is_answered_and_forgotten(server: PageServer) -> None:
    """A request line without end is refused, and the pages work on."""
    with socket.create_connection(server.address, timeout=60) as client:
        client.sendall(b"GET /" + b"x" * 70_000)
        assert b" 414 " in client.recv(1000)
    assert 200 == get(server, "/healthz")[0]


def test_a_client_that_says_nothing_is_dropped(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And holds up no other one meanwhile."""
    monkeypatch.setattr(page_server, "CLIENT_SECONDS", 60)
    with socket.create_connection(server.address, timeout=60):
        assert 200 == get(server, "/healthz")[0]
    monkeypatch.setattr(page_server, "CLIENT_SECONDS", 0.1)
    with socket.create_connection(server.address, timeout=60) as silent:
        assert b"" == silent.recv(1000)


def test_a_client_that_sends_a_byte_now_and_then_is_dropped_too(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole request has one deadline, and not each of its bytes."""
    monkeypatch.setattr(page_server, "CLIENT_SECONDS", 0.5)
    with socket.create_connection(server.address, timeout=60) as slow:
        slow.settimeout(0.1)
        began = time.monotonic()
        ended = False
        while not ended and time.monotonic() - began < 60:
            try:
                slow.sendall(b"G")
                ended = not slow.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                ended = True
        assert ended
    monkeypatch.setattr(page_server, "CLIENT_SECONDS", 60)
    assert 200 == get(server, "/healthz")[0]


def test_a_crowd_of_silent_clients_keeps_no_probe_out(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections, and so threads, are few at any time; the oldest of them give way to the newest."""
    monkeypatch.setattr(page_server, "CLIENT_SECONDS", 60)
    crowd: list[socket.socket] = []
    try:
        for _ in range(5 * page_server.MOST_CONNECTIONS):
            crowd.append(socket.create_connection(server.address, timeout=60))
            most = sum(thread.name.startswith("Thread-") for thread in threading.enumerate())
            assert most <= 2 * page_server.MOST_CONNECTIONS
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
    monkeypatch.setattr(page_server, "MOST_BYTES", 1000)
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"x" * 5000)
        there.shutdown(socket.SHUT_WR)
        assert 1000 == len(page_server._Request(here, time.monotonic() + 60).readall() or b"")


def test_a_client_that_goes_away_writes_nothing_to_stderr(
    server: PageServer, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers fill no log with tracebacks."""
    handled = threading.Event()
    handle = page_server._Server.handle_error

    def note(*arguments: Any) -> None:
        handle(*arguments)
        handled.set()

    monkeypatch.setattr(page_server._Server, "handle_error", note)
    monkeypatch.setattr(page_server._Handler, "_answer", lambda *_: 1 / 0)
    with socket.create_connection(server.address, timeout=60) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b"" == client.recv(1000)
    assert handled.wait(60)
    assert "" == capfd.readouterr().err


def test_a_page_that_can_not_be_made_is_said_to_be_so(
    server: PageServer, told: Told, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the client, and in the log with its traceback."""
    monkeypatch.setattr(told, "healthz", lambda _: 1 / 0)
    assert (500, {"error": "the page can't be made; the log says why"}) == get(server, "/healthz?verbose")
    [record] = caplog.records
    assert "the page /healthz can't be made" == record.getMessage()
    assert record.exc_info


def test_an_address_of_ipv6_is_listened_on(told: Told) -> None:
    """It is named as URLs do."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    made = serve(told, ("::1", 0))
    made.start()
    try:
        assert (200, {"ok": True}) == get(made, "/healthz")
        assert f"[::1]:{made.address[1]}" == made.place
    finally:
        made.stop()


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::zz"])
def test_an_address_of_no_machine_asks_for_another_address(told: Told, host: str) -> None:
    """Another port wouldn't help."""
    with pytest.raises(ConfigurationError, match="can't be served") as caught:
        serve(told, (host, 0))
    assert "choose an address of this machine" in (caught.value.hint or "")


def test_a_port_in_use_is_a_configuration_error(told: Told) -> None:
    """It is named, with what to do."""
    with socket.create_server(ANY_PORT) as taken, pytest.raises(ConfigurationError, match="can't be served") as caught:
        serve(told, taken.getsockname())
    assert "choose another port" == caught.value.hint
    assert "127.0.0.1:" in str(caught.value)


def test_a_server_that_never_started_can_be_stopped(told: Told) -> None:
    """Its port is free again."""
    made = serve(told)
    address = made.address
    made.stop()
    for thread in threading.enumerate():
        if thread.name == "cloudq-pages-end":
            thread.join(60)
    with socket.create_server(address):
        pass
