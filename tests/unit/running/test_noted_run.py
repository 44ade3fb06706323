"""`NotedRun`: beats, progress and wishes of one run, by a clock that tests move."""

from __future__ import annotations

import gc
import threading
from datetime import timedelta
from typing import Any

import pytest

from cloudq.core.notes import Note, Written
from cloudq.core.run_life import REPORT_EVERY, RunState
from cloudq.core.run_notes import CancelAnswer, Run, RunNotes
from cloudq.errors import StoreUnavailable, TimeLimitExceeded
from cloudq.running.heartbeat import Heartbeat
from cloudq.running.noted_run import END_AGAIN, NotedRun
from cloudq.stores.memory import MemoryStore
from cloudq.testing import FakeClock
from tests.unit.worker.fakes import until


class Watched:
    """Notes whose writes can be waited for, and fail."""

    def __init__(self, clock: FakeClock) -> None:
        self.notes = MemoryStore(clock).notes
        self.fails = False
        self.changed = threading.Condition()
        self.writes = 0

    def read(self, name: str) -> Note | None:
        return self.notes.read(name)

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        try:
            if self.fails:
                raise StoreUnavailable("down")
            return self.notes.write(name, text, after=after, keep=keep)
        finally:
            with self.changed:
                self.writes += 1
                self.changed.notify_all()

    def sweep(self, limit: int) -> int:
        return self.notes.sweep(limit)

    def until(self, writes: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.writes >= writes, 60), self.writes


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.notes = Watched(self.clock)
        self.runs = RunNotes(self.notes)
        self.heartbeat = Heartbeat(self.clock)
        self.lost = threading.Event()

    def run(self, owner: str = "a") -> NotedRun:
        run = self.runs.start("1", "t", owner=owner, attempt=1, keep=None)
        assert isinstance(run, Run)
        noted = NotedRun(run, self.heartbeat, self.clock, lease_lost=self.lost, said="t 1")
        noted.begin()
        return noted

    def beat(self, span: timedelta = REPORT_EVERY) -> None:
        """Lets a beat's time pass, and waits until it has been written."""
        writes = self.notes.writes
        self.clock.until_waiting()
        self.clock.advance(span)
        self.notes.until(writes + 1)

    def seen(self) -> Any:
        seen = self.runs.look("1")
        assert seen is not None
        return seen


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_run_is_not_silent_while_it_runs(bench: Bench) -> None:
    """Its note is written again and again."""
    run = bench.run()
    for _ in range(6):
        bench.beat()
        assert not bench.seen().is_silent
    assert not run.cancelled.is_set()


def test_a_wish_is_read_at_the_next_beat(bench: Bench) -> None:
    """And told to the coroutine that waits."""
    run, stopped = bench.run(), threading.Event()
    run.on_cancel(stopped.set)
    assert bench.runs.cancel("1") is CancelAnswer.ASKED
    bench.beat()
    assert run.cancelled.wait(60)
    assert stopped.wait(60)


def test_a_coroutine_that_comes_late_learns_of_the_wish(bench: Bench) -> None:
    """It was read before it began."""
    run, stopped = bench.run(), threading.Event()
    bench.runs.cancel("1")
    bench.beat()
    assert run.cancelled.wait(60)
    run.on_cancel(stopped.set)
    assert stopped.is_set()


def test_progress_is_written_soon(bench: Bench) -> None:
    """A second after the latest note, and its caller waits for nothing."""
    run = bench.run()
    run.progress(1, 4)
    run.progress(2, 4)
    assert bench.seen().record.done is None
    bench.beat(timedelta(seconds=1))
    assert (bench.seen().record.done, bench.seen().record.total) == (2, 4)


def test_progress_that_was_not_written_yet_is_in_the_end(bench: Bench) -> None:
    """The latest one."""
    run = bench.run()
    run.progress(3, 4)
    run.end(RunState.SUCCEEDED, "", b"7")
    record = bench.seen().record
    assert (record.state, record.done, record.total, record.result) == (RunState.SUCCEEDED, 3, 4, b"7")
    # Else the thread, which has something to write yet, would log in later tests that this clock stands still.
    until(lambda: bench.clock.advance(timedelta(minutes=1)) or not bench.clock.waiting)


def test_progress_outlives_a_store_that_fails(bench: Bench) -> None:
    """It is written at the next beat."""
    run = bench.run()
    bench.notes.fails = True
    run.progress(3, None)
    bench.beat(timedelta(seconds=1))
    bench.notes.fails = False
    bench.beat()
    assert bench.seen().record.done == 3


def test_an_end_is_the_end(bench: Bench) -> None:
    """No beat lands behind it."""
    run = bench.run()
    run.end(RunState.SUCCEEDED, "", None)
    writes = bench.notes.writes
    run.renew()
    run.progress(1, 2)
    assert bench.notes.writes == writes
    assert bench.seen().record.state is RunState.SUCCEEDED


def test_an_end_that_could_not_be_noted_is_tried_again(bench: Bench) -> None:
    """Aside: nobody waits for it."""
    run = bench.run()
    bench.notes.fails = True
    run.end(RunState.SUCCEEDED, "", b"7")
    assert bench.seen().record.state is RunState.RUNNING
    bench.notes.fails = False
    bench.beat(END_AGAIN)
    assert (bench.seen().record.state, bench.seen().record.result) == (RunState.SUCCEEDED, b"7")


def test_what_is_done_beside_another_message_of_its_key_is_noted_later(bench: Bench) -> None:
    """Without a result. That other one's run has a note of its own."""
    bench.run().end_beside()
    assert bench.seen().record.state is RunState.RUNNING
    bench.beat(END_AGAIN)
    assert (bench.seen().record.state, bench.seen().record.result) == (RunState.SUCCEEDED, None)
    assert "another run has taken over" in bench.seen().record.reason


def test_what_is_done_beside_another_run_of_its_message_is_noted_by_that_one(bench: Bench) -> None:
    """Which may have begun only then."""
    first = bench.run()
    first.end_beside()
    bench.clock.until_waiting()
    second = bench.run("b")
    bench.beat(END_AGAIN)
    assert bench.seen().record.state is RunState.RUNNING
    second.end(RunState.SUCCEEDED, "", b"7")
    assert bench.seen().record.result == b"7"


def test_what_has_ended_was_not_interrupted(bench: Bench) -> None:
    """Its end couldn't be noted in time, so its delivery is settled without: it doesn't wait for a next run."""
    run = bench.run()
    bench.notes.fails = True
    run.end(RunState.SUCCEEDED, "", b"7")
    bench.notes.fails = False
    run.give_up()
    bench.beat(END_AGAIN)
    assert (bench.seen().record.state, bench.seen().record.result) == (RunState.SUCCEEDED, b"7")


def test_an_end_whose_time_is_over_is_noted_aside(bench: Bench) -> None:
    """Nobody waits for the store any longer, which is no reason to forget what is done."""
    run, write = bench.run(), bench.notes.write

    def hang(*arguments: Any, **options: Any) -> Written | Note | None:
        raise TimeLimitExceeded

    bench.notes.write = hang  # type: ignore[method-assign]
    with pytest.raises(TimeLimitExceeded):
        run.end(RunState.SUCCEEDED, "", b"7")
    bench.notes.write = write  # type: ignore[method-assign]
    bench.beat(END_AGAIN)
    assert (bench.seen().record.state, bench.seen().record.result) == (RunState.SUCCEEDED, b"7")


def test_a_run_that_is_anothers_now_loses_its_lease(bench: Bench) -> None:
    """The message runs elsewhere: the handler can see it."""
    run = bench.run("a")
    bench.runs.start("1", "t", owner="b", attempt=2, keep=None)
    bench.beat()
    assert bench.lost.wait(60)
    run.end(RunState.SUCCEEDED, "", b"stale")
    assert bench.seen().record.state is RunState.RUNNING


def test_an_interrupted_run_waits_for_the_next(bench: Bench) -> None:
    """Noted aside: an interruption waits for nothing."""
    run = bench.run()
    writes = bench.notes.writes
    run.give_up()
    bench.notes.until(writes + 1)
    assert bench.seen().record.state is RunState.WAITING


def test_a_run_that_nobody_has_is_not_noted(bench: Bench) -> None:
    """As a claim: what was interrupted in the moment of its start falls silent."""
    run = bench.run()
    del run
    gc.collect()
    bench.clock.advance(4 * REPORT_EVERY)
    assert bench.seen().is_silent


def test_without_a_heartbeat_progress_is_written_by_its_caller(bench: Bench) -> None:
    """No more than once a second; the end has the rest."""
    run = bench.runs.start("1", "t", owner="a", attempt=1, keep=None)
    assert isinstance(run, Run)
    noted = NotedRun(run, None, bench.clock, lease_lost=bench.lost, said="t 1")
    noted.begin()
    noted.progress(1, None)
    assert bench.seen().record.done is None
    bench.clock.advance(timedelta(seconds=1))
    noted.progress(2, None)
    noted.progress(3, None)
    assert bench.seen().record.done == 2
    noted.end(RunState.SUCCEEDED, "", None)
    assert bench.seen().record.done == 3
