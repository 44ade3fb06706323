"""Where idle connections are kept."""

from __future__ import annotations

import queue
import threading

import pytest

from cloudq.aws_wire.idle import Idle
from tests.unit.aws_wire.clients import both


def test_the_last_one_put_is_the_first_one_got() -> None:
    """So that those that nobody needs any more stay idle, and are dropped by the server."""
    idle: Idle[int] = Idle(3)
    for number in (1, 2, 3):
        idle.put(number)
    assert [3, 2, 1] == [idle.get() for _ in range(3)]


def test_nobody_waits() -> None:
    """The pool opens a connection where there is none, and closes one where there is no room."""
    idle: Idle[int] = Idle(1)
    with pytest.raises(queue.Empty):
        idle.get(block=True, timeout=60)
    idle.put(1)
    with pytest.raises(queue.Full):
        idle.put(2, block=True, timeout=60)
    assert 1 == idle.qsize()


def test_threads_never_get_the_same_one() -> None:
    """Each is in one hand at a time."""
    idle: Idle[int] = Idle(8)
    for number in range(4):
        idle.put(number)
    held: set[int] = set()
    twice: list[int] = []

    def work() -> None:
        for _ in range(2000):
            try:
                one = idle.get()
            except queue.Empty:
                continue
            if one in held:
                twice.append(one)
            held.add(one)
            held.discard(one)
            idle.put(one)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == twice
    assert 4 == idle.qsize()


def test_a_pool_of_the_driver_keeps_its_connections_there() -> None:
    """As many as the client is set to."""
    client, lean = both("http://127.0.0.1:1")
    http = client._endpoint.http_session
    for url in ("http://127.0.0.1:1", "https://127.0.0.1:1"):
        pool = http._manager.connection_from_url(url)
        assert isinstance(pool.pool, Idle)
        assert client.meta.config.max_pool_connections == pool.pool.qsize()
    lean.close()
