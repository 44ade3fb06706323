"""The lookout: what it does for a thread that is busy with a long task, and when it sleeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from cloudq.core.notes import NoteWrite
from cloudq.core.owed_notes import OwedNote, OwedNotes
from cloudq.running.held import HeldLease
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.testing.clock import FakeClock
from cloudq.worker.intake import Intake
from cloudq.worker.lookout import LONG, LONGEST_KEPT, LONGEST_UNNOTED, Lookout
from cloudq.worker.series import Series
from tests.unit.worker.fakes import NoThreads, until
from tests.unit.worker.intakes import arrive, held, make_intake

TICK = timedelta(microseconds=500)


class Bench:
    """A lookout under a fake clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.intake: Intake = make_intake(self.clock, slots=100)
        self.settled: list[HeldLease] = []
        self.more = 0
        self.lookout = Lookout(self.intake, settle=self.settled.append, more=self.note_more, clock=self.clock)
        self.series = Series(self.clock)
        self.lookout.add(self.series)

    def note_more(self) -> None:
        self.more += 1

    def lead(self) -> None:
        """Has the series' thread take one of two."""
        arrive(self.intake, "q", held(self.clock, 2))
        assert self.intake.take(self.series) is not None
        assert self.intake.led

    def pass_time(self, span: timedelta) -> None:
        """Step by step, so that the lookout is there at each."""
        for _ in range(span // TICK):
            until(lambda: self.clock.waiting)
            self.clock.advance(TICK)
        until(lambda: self.clock.waiting)

    def until(self, predicate: Callable[[], object]) -> None:
        """Wakes the lookout meanwhile: it may have looked before a step of the clock, and begun to wait after it."""
        until(lambda: predicate() or self.clock.advance(timedelta(0)))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.lookout.close()


def test_others_take_what_waits_once_a_task_is_long(bench: Bench) -> None:
    """After a millisecond, and not before; and a thread is started for it if none is idle."""
    bench.lead()
    assert bench.lookout.look()
    bench.pass_time(LONG - TICK)
    assert (True, 0) == (bench.intake.led, bench.more)
    bench.pass_time(2 * TICK)
    bench.until(lambda: not bench.intake.led)
    until(lambda: bench.more == 1)
    assert bench.intake.take() is not None


def test_a_thread_that_takes_again_and_again_is_left_alone(bench: Bench) -> None:
    """However long its series is: each task has a millisecond of its own."""
    arrive(bench.intake, "q", held(bench.clock, 30))
    assert bench.intake.take(bench.series) is not None
    assert bench.lookout.look()
    for _ in range(20):
        bench.pass_time(TICK)
        assert bench.intake.take(bench.series) is not None
    assert (True, 0) == (bench.intake.led, bench.more)


def test_what_has_ended_waits_for_no_longer_than_its_time(bench: Bench) -> None:
    """It is settled 50 ms after the first of it ended at the latest, whatever its thread does, and once."""
    one, two = held(bench.clock, 2)
    bench.series.keep(one, 10)
    assert bench.lookout.look()
    bench.pass_time(LONGEST_KEPT / 2)
    bench.series.keep(two, 10)
    assert [] == bench.settled
    bench.pass_time(LONGEST_KEPT / 2)
    bench.until(lambda: bench.settled == [one, two])
    bench.pass_time(2 * LONGEST_KEPT)
    assert [one, two] == bench.settled
    assert not bench.series


def test_it_sleeps_when_there_is_nothing_to_see(bench: Bench) -> None:
    """Until it is needed again; what begins while it goes to sleep is seen."""
    one, two = held(bench.clock, 2)
    bench.series.keep(one, 10)
    assert bench.lookout.look()
    assert [one] == bench.series.take_all()
    bench.pass_time(3 * LONG)
    bench.until(lambda: not bench.lookout._looking)
    bench.series.keep(two, 10)
    assert bench.lookout.look()
    until(lambda: bench.lookout._looking)
    bench.pass_time(LONGEST_KEPT + LONG)
    bench.until(lambda: bench.settled == [two])


def test_what_is_kept_while_it_goes_to_sleep_is_seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that was told that somebody looks may rely on it, whatever was just seen."""
    one, two = held(bench.clock, 2)
    bench.series.keep(one, 10)
    assert bench.lookout.look()
    bench.pass_time(LONG)

    def keep(_: Intake) -> bool:
        if not bench.series and not bench.settled:  # it has seen nothing, and is about to sleep
            bench.series.keep(two, 10)
            assert bench.lookout.look()
        return False

    monkeypatch.setattr(Intake, "led", property(keep))
    assert [one] == bench.series.take_all()
    until(lambda: bench.clock.advance(TICK) or bench.settled == [two])


def test_without_a_thread_it_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody may rely on it; the next time it is tried again."""
    machine = NoThreads(monkeypatch)
    assert not bench.lookout.look()
    machine.exhausted = False
    assert bench.lookout.look()


def test_a_series_whose_thread_has_ended_is_forgotten(bench: Bench) -> None:
    """Nothing looks into it any more."""
    bench.lookout.discard(bench.series)
    bench.series.keep(held(bench.clock, 1)[0], 10)
    assert bench.lookout.look()
    until(lambda: not bench.lookout._looking)
    bench.pass_time(2 * LONGEST_KEPT)
    assert [] == bench.settled


def test_what_is_kept_when_it_is_closed_is_settled(bench: Bench) -> None:
    """However short the time that it was kept for: nobody looks after it any more, and its thread may be busy."""
    kept = held(bench.clock, 3)
    for one in kept:
        bench.series.keep(one, 10)
    assert bench.lookout.look()
    bench.lookout.close()
    assert kept == bench.settled
    assert not bench.series


class Owed(OwedNotes):
    """Counts how often it is paid."""

    def __init__(self) -> None:
        super().__init__()
        self.patient = True
        self.paid = 0

    def pay(self) -> None:
        self.paid += 1
        self.drop()


def owe(owed: OwedNotes) -> bool:
    """Has it noted that its run has begun, if that may wait."""
    notes = MemoryNotes(FakeClock())
    return owed.begin(OwedNote(notes, NoteWrite(name="run", text=b"", after=0, keep=LONG), lambda _: None))


def test_a_run_that_takes_its_time_is_noted(bench: Bench) -> None:
    """After 10 ms, and not before; once, by another thread, as a store may take its time."""
    owed = Owed()
    bench.series.begin(owed)
    assert bench.lookout.look()
    assert owe(owed)
    bench.pass_time(LONGEST_UNNOTED - 2 * LONG)
    assert (True, True, 0) == (bench.lookout._looking, owed.patient, owed.paid)
    bench.pass_time(3 * LONG)
    bench.until(lambda: owed.paid == 1)
    assert owed.hurried
    bench.pass_time(LONG)
    bench.until(lambda: not bench.lookout._looking)


def test_a_run_that_has_ended_is_not_noted_as_begun(bench: Bench) -> None:
    """Nor is one that owes nothing by then, which notes at once whatever it notes later."""
    ended, silent = Owed(), Owed()
    bench.series.begin(ended)
    assert bench.lookout.look()
    assert owe(ended)
    bench.series.owed = None
    until(lambda: bench.clock.advance(TICK) or not bench.lookout._looking)
    bench.series.begin(silent)
    assert bench.lookout.look()
    until(lambda: bench.clock.advance(TICK) or silent.hurried)
    assert not owe(silent)
    assert (0, 0) == (ended.paid, silent.paid)


def test_a_run_that_begins_while_the_lookout_looks_at_the_one_before_is_looked_after(bench: Bench) -> None:
    """Else it would never be noted as running, however long it takes."""
    first, second = Owed(), Owed()

    class EndsMeanwhile(timedelta):
        def __rsub__(self, now: timedelta) -> timedelta:
            bench.series.begin(second)
            return now - timedelta(seconds=self.total_seconds())

    bench.series.begin(first)
    bench.series.began = EndsMeanwhile()
    bench.clock.advance(LONGEST_UNNOTED)
    assert bench.lookout.look()
    until(lambda: first.hurried)
    assert owe(second)
    bench.pass_time(LONGEST_UNNOTED + 2 * LONG)
    bench.until(lambda: second.paid == 1)
