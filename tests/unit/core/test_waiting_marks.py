"""Which message waits under a key, also of several that come at the same time."""

from __future__ import annotations

from datetime import timedelta
from threading import Barrier, Thread

import pytest

from cloudq.core.run_life import RunState
from cloudq.core.run_notes import Run, RunNotes
from cloudq.core.waiting_marks import MARKED_FOR, WaitingMarks
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock

NO_DELAY = timedelta(0)


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.notes = MemoryStore(self.clock).notes
        self.runs = RunNotes(self.notes)
        self.marks = WaitingMarks(self.notes)

    def waits(self, id_: str) -> str:
        self.runs.track(id_, "t")
        return id_

    def starts(self, id_: str) -> None:
        assert isinstance(self.runs.start(id_, "t", owner="w", attempt=1, keep=None), Run)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_first_one_waits(bench: Bench) -> None:
    """A second one learns of it."""
    assert bench.marks.waiting("t", "k") is None
    assert bench.marks.take("t", "k", bench.waits("1"), delay=NO_DELAY) is None
    assert bench.marks.waiting("t", "k") == "1"
    assert bench.marks.take("t", "k", bench.waits("2"), delay=NO_DELAY) == "1"
    assert bench.marks.waiting("t", "k") == "1"


def test_keys_and_tasks_are_apart(bench: Bench) -> None:
    """Also where a key holds what looks like another's end."""
    assert bench.marks.take("t", "k", bench.waits("1"), delay=NO_DELAY) is None
    assert bench.marks.waiting("t", "k2") is None
    assert bench.marks.waiting("t k", "") is None
    assert bench.marks.take("u", "k", bench.waits("2"), delay=NO_DELAY) is None


@pytest.mark.parametrize("how", ["started", "cancelled", "dropped", "done", "forgotten"])
def test_what_no_longer_waits_holds_up_nobody(bench: Bench, how: str) -> None:
    """The next one waits in its place."""
    assert bench.marks.take("t", "k", bench.waits("1"), delay=NO_DELAY) is None
    if how == "started":
        bench.starts("1")
    elif how == "cancelled":
        bench.runs.cancel("1")
    elif how == "dropped":
        assert bench.runs.drop("1", "another")
    elif how == "done":
        bench.runs.know("1", "t", None, "", keep=None)
    else:
        bench.clock.advance(timedelta(days=40))
    assert bench.marks.waiting("t", "k") is None
    assert bench.marks.take("t", "k", bench.waits("2"), delay=NO_DELAY) is None


def test_a_message_that_is_gone_holds_up_others_for_an_hour(bench: Bench) -> None:
    """From its time on: nobody says here that a queue was purged."""
    delay = timedelta(minutes=10)
    assert bench.marks.take("t", "k", bench.waits("1"), delay=delay) is None
    bench.clock.advance(delay + MARKED_FOR - timedelta(seconds=1))
    assert bench.marks.waiting("t", "k") == "1"
    bench.clock.advance(timedelta(seconds=2))
    assert bench.marks.waiting("t", "k") is None


def test_a_later_one_takes_the_place(bench: Bench) -> None:
    """And learns of which, to drop it."""
    assert bench.marks.move("t", "k", bench.waits("1"), delay=NO_DELAY) is None
    assert bench.marks.move("t", "k", bench.waits("2"), delay=NO_DELAY) == "1"
    assert bench.marks.move("t", "k", "2", delay=NO_DELAY) is None  # the answer to the first call was lost
    assert bench.marks.waiting("t", "k") == "2"


def test_only_what_waits_is_dropped(bench: Bench) -> None:
    """What has started goes on, with no wish to cancel it."""
    bench.starts(bench.waits("1"))
    assert not bench.runs.drop("1", "another")
    seen = bench.runs.look("1")
    assert seen is not None
    assert (seen.record.state, seen.record.unwanted) == (RunState.RUNNING, False)


def test_what_is_dropped_never_starts(bench: Bench) -> None:
    """It is cancelled, and says why."""
    assert bench.runs.drop(bench.waits("1"), "another took its place")
    assert bench.runs.start("1", "t", owner="w", attempt=1, keep=None) is RunState.CANCELLED
    seen = bench.runs.look("1")
    assert seen is not None
    assert seen.record.reason == "another took its place"


def test_of_many_that_come_at_once_one_waits(bench: Bench) -> None:
    """All others learn of that one."""
    for round_ in range(20):
        said: dict[str, str | None] = {}
        begin = Barrier(6)

        def send(id_: str, round_: int = round_, said: dict[str, str | None] = said, begin: Barrier = begin) -> None:
            bench.waits(id_)
            begin.wait(60)
            said[id_] = bench.marks.take("t", str(round_), id_, delay=NO_DELAY)

        threads = [Thread(target=send, args=(f"{round_}-{number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [winner] = [id_ for id_, other in said.items() if other is None]
        assert {other for other in said.values() if other is not None} == {winner}
