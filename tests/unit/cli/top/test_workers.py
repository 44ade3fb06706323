"""What workers say of themselves, or why they say nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cloudq.cli.top.workers import WorkerNow, ask
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


def test_an_address_where_nobody_listens_is_unreachable() -> None:
    """With the system's reason, and nothing is raised."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    assert "refused" in (ask(address).unreachable or "")
