"""Readers beside each other and one after the other: nobody is given what another one holds."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from cloudq.outbox import file
from cloudq.outbox.opening import open_outbox
from cloudq.outbox.reading import OutboxReader
from cloudq.testing.clock import FakeClock
from tests.unit.outbox.conftest import at_once, bodies, by_key, count, publish, send


def test_a_batch_ends_by_its_lease(engine: Engine, url: str) -> None:
    """Counted from before the database was asked."""
    send(engine, "a")
    clock = FakeClock()
    reader = open_outbox(url, lease=timedelta(seconds=40), clock=clock)
    before = clock.elapsed()
    batch = reader.take(1)
    assert batch is not None
    assert batch.ends == before + timedelta(seconds=40)
    reader.close()


def test_what_one_has_taken_nobody_else_is_given(engine: Engine, url: str, reader: OutboxReader) -> None:
    """Nor anything of its keys; the rest another one may have, where the database can lock rows."""
    send(engine, "a", "b", "k:1", "k:2")
    other = open_outbox(url)
    first = reader.take(1)
    second = other.take(10)
    assert not set(bodies(first)) & set(bodies(second))
    if engine.dialect.name != "sqlite":
        assert sorted(bodies(first) + bodies(second)) == ["a", "b", "k:1", "k:2"]
    third = open_outbox(url)
    assert third.take(10) is None
    for each in (reader, other, third):
        each.close()


def test_of_a_key_that_is_taken_nothing_is_given(engine: Engine, url: str, reader: OutboxReader) -> None:
    """However many more it has."""
    send(engine, *[f"k:{index}" for index in range(5)])
    other = open_outbox(url)
    first = reader.take(2)
    assert bodies(first) == ["k:0", "k:1"]
    assert other.take(10) is None
    publish(first)
    reader.close()  # on SQLite the next one reads then
    assert publish(other.take(10)) == ["k:2", "k:3", "k:4"]
    other.close()


def test_what_a_closed_reader_held_is_free(engine: Engine, url: str) -> None:
    """As soon as the server notices, and as it was."""
    send(engine, "a", "k:1")
    first, second = open_outbox(url), open_outbox(url)
    assert bodies(first.take(10)) == ["a", "k:1"]
    first.close()
    taken: list[str] = []
    ends = time.monotonic() + 60
    while len(taken) < 2 and time.monotonic() < ends:  # a server notices a moment later that a connection is closed
        taken += publish(second.take(10))
    assert sorted(taken) == ["a", "k:1"]
    second.close()


def test_many_readers_beside_many_writers(engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message is published once, and those of a key in the order of their commits."""
    monkeypatch.setattr(file, "_PATIENCE", 60.0)  # for the lock: it goes to anybody who asks
    writers, turns = 3, 25
    written = threading.Semaphore(0)
    published: list[str] = []
    lock = threading.Lock()
    all_written = threading.Event()

    def writes(thread: int) -> None:
        for turn in range(turns):
            send(engine, f"own{thread}:{turn:03}", f"{thread}-{turn}", f"shared:{thread}.{turn:03}")
        written.release()

    def waits() -> None:
        for _ in range(writers):
            assert written.acquire(timeout=60)
        all_written.set()

    def reads() -> None:
        reader = open_outbox(url)
        while True:
            over = all_written.is_set()
            batch = reader.take(7)
            if batch is None:
                if over and count(engine) == 0:
                    break
                continue
            with lock:  # as a queue that keeps the order in which it was given them
                published.extend(bodies(batch))
            batch.settle(published=[row.id for row in batch.rows])
            if engine.dialect.name == "sqlite":
                reader.close()  # so that others have a turn
                reader = open_outbox(url)
        reader.close()

    at_once(waits, *[lambda thread=thread: writes(thread) for thread in range(writers)], reads, reads, reads)
    assert len(published) == len(set(published)) == 3 * writers * turns
    for key, names in by_key(published).items():
        if key.startswith("own"):
            assert names == sorted(names)
        else:
            for thread in range(writers):
                own = [name for name in names if f":{thread}." in name]
                assert own == sorted(own)
