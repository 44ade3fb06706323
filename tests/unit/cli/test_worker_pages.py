"""A worker's page over HTTP, or why there is none."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from cloudq.cli import worker_pages
from cloudq.cli.worker_pages import PageUnreachable, fetched, worker_address
from cloudq.errors import OptionError
from cloudq.running.page_server import Answer, PageServer


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    server = PageServer(("127.0.0.1", 0), {"/page": lambda _: Answer(503, body)}, what="the pages", name="cloudq-pages")
    server.start()
    try:
        yield "{}:{}".format(*server.address)
    finally:
        server.stop()


def why_not(address: str) -> str:
    with pytest.raises(PageUnreachable) as caught:
        fetched(address, "/page")
    return str(caught.value)


@pytest.mark.usefixtures("patient")
def test_a_page_is_fetched_whatever_its_status() -> None:
    """A worker that isn't ready answers 503."""
    with answering(b"here") as address:
        assert b"here" == fetched(address, "/page")


@pytest.mark.usefixtures("patient")
def test_a_page_without_end_is_read_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is at that address may be anything."""
    monkeypatch.setattr(worker_pages, "MOST_BYTES", 50)
    with answering(b"x" * 51) as address:
        assert "its page is too large for a worker's" == why_not(address)


def test_one_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker that hangs holds up no view of the others for long."""
    monkeypatch.setattr(worker_pages, "PATIENCE", worker_pages.PATIENCE / 100)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in why_not(f"127.0.0.1:{silent.getsockname()[1]}")


def test_one_whose_page_drips_in_is_not_waited_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole answer has one deadline, and not each of its bytes."""
    monkeypatch.setattr(worker_pages, "PATIENCE", worker_pages.PATIENCE / 4)
    done = threading.Event()

    def drip(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client, suppress(OSError):
            client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            for _ in range(600):
                if done.wait(0.1):
                    break
                client.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as slow:
        thread = threading.Thread(target=drip, args=(slow,))
        thread.start()
        began = time.monotonic()
        said = why_not(f"127.0.0.1:{slow.getsockname()[1]}")
        took = time.monotonic() - began
        done.set()
        thread.join(60)
    assert "timed out" in said
    assert took < 30


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
