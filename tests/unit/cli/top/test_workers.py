"""What workers say of themselves, or why they say nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from cloudq.cli.top import workers
from cloudq.cli.top.workers import WorkerNow, ask, worker_address
from cloudq.errors import OptionError
from cloudq.running.page_server import Answer, PageServer

PAGE = b'{"ok":false,"problems":["stopping"],"queues":{"emails":"polling"},"counts":{"succeeded":7,"running":1}}'


@contextmanager
def answering(body: bytes, status: int = 503) -> Iterator[str]:
    server = PageServer(
        ("127.0.0.1", 0), {"/readyz": lambda _: Answer(status, body)}, what="the pages", name="cloudq-pages"
    )
    server.start()
    try:
        yield "{}:{}".format(*server.address)
    finally:
        server.stop()


def test_a_worker_says_how_it_stands() -> None:
    """Ready or not, its page has the same form."""
    with answering(PAGE) as address:
        assert WorkerNow(
            address=address,
            ready=False,
            problems=["stopping"],
            counts={"succeeded": 7, "running": 1},
            queues={"emails": "polling"},
        ) == ask(address)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"ok":1}', b"\xff"])
def test_something_else_that_answers_is_no_worker(body: bytes) -> None:
    """It is said, and nothing is raised."""
    with answering(body, 200) as address:
        assert "what answers there is no worker" == ask(address).unreachable


def test_a_page_without_end_is_read_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is at that address may be anything."""
    monkeypatch.setattr(workers, "MOST_BYTES", 50)
    with answering(PAGE) as address:
        assert "its page is too large for a worker's" == ask(address).unreachable


def test_an_address_where_nobody_listens_is_unreachable() -> None:
    """With the system's reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    assert "refused" in (ask(address).unreachable or "")


def test_one_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker that hangs holds up no view of the others for long."""
    monkeypatch.setattr(workers, "PATIENCE", workers.PATIENCE / 100)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in (ask(f"127.0.0.1:{silent.getsockname()[1]}").unreachable or "")


def test_one_whose_page_drips_in_is_not_waited_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole answer has one deadline, and not each of its bytes."""
    monkeypatch.setattr(workers, "PATIENCE", workers.PATIENCE / 4)
    done = threading.Event()

    def drip(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client, suppress(OSError):
            client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            for _ in range(50):
                if done.wait(0.1):
                    break
                client.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as slow:
        thread = threading.Thread(target=drip, args=(slow,))
        thread.start()
        began = time.monotonic()
        said = ask(f"127.0.0.1:{slow.getsockname()[1]}").unreachable
        took = time.monotonic() - began
        done.set()
        thread.join(10)
    assert "timed out" in (said or "")
    assert took < 4


@pytest.mark.parametrize(
    ("text", "address"), [("8080", "127.0.0.1:8080"), ("w:1", "w:1"), ("[::1]:8080", "[::1]:8080")]
)
def test_an_address_is_host_and_port(text: str, address: str) -> None:
    """A port alone is one of this machine."""
    assert address == worker_address(text)


@pytest.mark.parametrize("text", ["", "w", "w:", "w:0", "w:65536", "w:-1", "w:٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(OptionError, match="no address") as caught:
        worker_address(text)
    assert "--worker 10.0.0.7:8080" in str(caught.value.hint)
