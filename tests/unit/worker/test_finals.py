"""Acks that a thread of tasks carries out itself, several at a call: as good as those of the flushers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.driver import Final, SettleResult
from cloudq.core.notes import Note, NoteWrite, Written
from cloudq.core.outcome import ACKED, Retried
from cloudq.core.owed_notes import OwedNote, OwedNotes
from cloudq.errors import LeaseLost
from cloudq.running.held import HeldLease
from cloudq.running.lease_life import State
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.worker.series import Series
from tests.ids import shown
from tests.observing import Told
from tests.unit.worker.fakes import NoThreads, until
from tests.unit.worker.settling import DOWN, LEASE, SECOND, Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.settler.close()
    until(lambda: bench.clock.advance(60 * SECOND) or not bench.clock.waiting)  # so that no thread waits for ever


def test_acks_of_a_series_are_one_call_of_this_thread(bench: Bench) -> None:
    """Confirmed when it returns: the leases are over, the books are told, and payloads are deleted."""
    threads: list[int] = []
    bench.before_answer = lambda: threads.append(threading.get_ident())
    held = [bench.held() for _ in range(3)]
    bench.settler.settle_together(held)
    assert [threading.get_ident()] == threads
    assert [one.delivery.lease for one in held] == [final.lease for final in bench.settled]
    assert 3 == bench.books.out["q"]
    assert {State.ENDED} == {one.life.state for one in held}
    until(lambda: len(bench.deleted) == 3)


def test_no_call_is_too_large(bench: Bench) -> None:
    """As the driver's contract wants it, whatever a series has kept."""
    sizes: list[int] = []
    settle = bench.settle

    def note(finals: Sequence[Final]) -> Sequence[SettleResult]:
        sizes.append(len(finals))
        return settle(finals)

    bench.settle = note  # type: ignore[method-assign]  # the driver that the settler calls
    bench.settler.settle_together([bench.held() for _ in range(24)])
    assert [10, 10, 4] == sizes
    assert {"q": 24} == bench.books.out


def test_one_that_is_refused_costs_those_beside_it_nothing(bench: Bench) -> None:
    """A lost lease is counted; another error is tried again, by a flusher, until it is confirmed."""
    lost, failing, fine = bench.held(), bench.held(), bench.held()
    answers = {id(lost.delivery.lease): LeaseLost("it was over"), id(failing.delivery.lease): DOWN}
    settle = bench.settle

    def answer(finals: Sequence[Final]) -> Sequence[SettleResult]:
        settle(finals)
        return [SettleResult(error=answers.pop(id(final.lease), None)) for final in finals]

    bench.settle = answer  # type: ignore[method-assign]  # as above
    bench.settler.settle_together([lost, failing, fine])
    assert (2, 1) == (bench.books.out["q"], bench.settler.late)
    assert State.ENDED is fine.life.state
    assert [("q", True)] == bench.books.told
    assert [lost.delivery, failing.delivery] == bench.done  # should they come again: nothing is left to do
    bench.pass_time_until(lambda: bench.books.out["q"] == 3)
    assert 4 == len(bench.settled)
    assert [("q", True), ("q", False)] == bench.books.told


@pytest.mark.parametrize("error", [DOWN, SystemExit("an SDK's"), ZeroDivisionError()], ids=shown)
def test_a_call_that_raises_is_tried_again_for_each(bench: Bench, error: BaseException) -> None:
    """Whatever it raises: the thread is one that runs tasks, and goes on."""
    settle = bench.settle

    def fail(finals: Sequence[Final]) -> Sequence[SettleResult]:
        raise error

    bench.settle = fail  # type: ignore[method-assign]  # as above
    bench.settler.settle_together([bench.held() for _ in range(3)])
    assert 0 == bench.books.out["q"]
    bench.settle = settle  # type: ignore[method-assign]  # as above
    bench.pass_time_until(lambda: bench.books.out["q"] == 3)
    assert 3 == len(bench.settled)


def test_an_ack_is_tried_once_after_its_lease(bench: Bench) -> None:
    """Finished work should not run again: also where the lease ended while it waited for others."""
    fine, late = bench.held(), bench.held()
    late.life.ends = bench.clock.elapsed()
    bench.settler.settle_together([fine, late])
    assert 2 == len(bench.settled) == bench.books.out["q"]
    assert late.lost.is_set()
    until(lambda: [fine.delivery] == bench.deleted)


def test_a_mistake_costs_one_delivery(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """One that can't be settled is left to its lease, and the others are settled."""
    broken, fine = bench.held(), bench.held()
    bench.keeper.settle(broken)  # twice: which can't happen
    bench.settler.settle_together([broken, fine])
    assert 1 == len(bench.settled)
    assert 2 == bench.books.out["q"]
    assert any("can't be settled" in line for line in caplog.messages)


def test_while_one_thread_calls_the_others_leave_theirs_to_flushers(bench: Bench) -> None:
    """So that a backend that hangs holds up one thread of tasks, and no more."""
    inside, go_on = threading.Event(), threading.Event()
    threads: list[str] = []

    def hang() -> None:
        threads.append(threading.current_thread().name)
        if len(threads) == 1:
            inside.set()
            assert go_on.wait(60)

    bench.before_answer = hang
    first, second = [bench.held()], [bench.held()]
    thread = threading.Thread(target=bench.settler.settle_together, args=(first,), name="a task's")
    thread.start()
    assert inside.wait(60)
    bench.settler.settle_together(second)  # returns at once
    until(lambda: bench.books.out["q"] == 1)
    go_on.set()
    thread.join(60)
    assert ["a task's", "cloudq-settle-q-1"] == threads
    assert 2 == bench.books.out["q"]


def test_only_acks_that_nobody_waits_for_may_wait(bench: Bench) -> None:
    """The next of an ordering key waits for its Ack; a failure has a copy to store; a queue may be in trouble."""
    series = Series(bench.clock)
    kept = [bench.held(), bench.held()]
    for held in kept:
        bench.settler.settle(held, ACKED, series)
    bench.settler.settle(bench.held(), Retried(delay=SECOND, reason="again"), series)
    ordered = bench.held()
    ordered.delivery = replace(ordered.delivery, group="k")
    bench.settler.settle(ordered, ACKED, series)
    bench.errors["trouble"] = DOWN
    for _ in range(2):
        bench.end(bench.held("trouble"))
        until(lambda: bench.books.told)
    bench.settler.settle(bench.held("trouble"), ACKED, series)
    assert kept == series.take_all()


def test_a_lease_is_extended_for_settle_timeout_at_most(bench: Bench) -> None:
    """Counted from the settlement, which comes 50 ms after the task's end at the latest."""
    held = bench.held()
    bench.errors["q"] = DOWN
    assert held.life.settle_by is None
    bench.settler.settle_together([held])
    assert held.life.settle_by == bench.clock.elapsed() + timedelta(seconds=30)
    assert LEASE > timedelta(seconds=30)


def test_an_observer_is_told_of_a_settlement_that_came_too_late() -> None:
    """Its lease was somebody else's by then."""
    told = Told()
    bench = Bench(observer=told)
    held = bench.held()
    settle = bench.settle

    def answer(finals: Sequence[Final]) -> Sequence[SettleResult]:
        settle(finals)
        return [SettleResult(error=LeaseLost("it was over"))]

    bench.settle = answer  # type: ignore[method-assign]  # the driver that the settler calls
    bench.settler.settle_together([held])
    assert [("lease lost", "q")] == told.log
    bench.settler.close()


def owing(bench: Bench, notes: Noted, name: str) -> HeldLease:
    """A delivery whose run owes a note of this name."""
    held = bench.held()
    held.owed = OwedNotes()
    write = NoteWrite(name=name, text=b"", after=0, keep=LEASE)
    held.owed.end(OwedNote(notes, write, lambda _: notes.told.append(name)))
    return held


class Noted(MemoryNotes):
    """Says what was written together, and how much was settled by then."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.clock)
        self._bench = bench
        self.calls: list[tuple[list[str], int]] = []
        self.told: list[str] = []

    def write_together(self, writes: Sequence[NoteWrite]) -> Sequence[Written | Note | None]:
        self.calls.append(([write.name for write in writes], len(self._bench.settled)))
        return super().write_together(writes)


def test_what_is_owed_is_noted_by_one_call_before_the_acks(bench: Bench) -> None:
    """Of those that owe something: what is acknowledged doesn't come again."""
    notes = Noted(bench)
    held = [owing(bench, notes, "a"), bench.held(), owing(bench, notes, "b")]
    bench.settler.settle_together(held)
    assert [(["a", "b"], 0)] == notes.calls
    assert ["a", "b"] == notes.told
    assert 3 == len(bench.settled)


def test_a_flusher_notes_what_is_owed_too_and_once(bench: Bench) -> None:
    """Also where the Ack has to be tried again."""
    notes = Noted(bench)
    bench.errors["q"] = DOWN
    bench.end(owing(bench, notes, "a"))
    until(lambda: bench.settled)
    assert [(["a"], 0)] == notes.calls
    bench.errors.clear()
    bench.pass_time_until(lambda: bench.books.out["q"] == 1)
    assert [(["a"], 0)] == notes.calls


def test_what_could_not_be_handed_to_a_flusher_is_noted_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should it come again, nothing is left to do with it: nobody would note it then."""
    notes = Noted(bench)
    machine = NoThreads(monkeypatch)
    held = owing(bench, notes, "a")
    bench.end(held)
    assert [held.delivery] == bench.done
    assert [(["a"], 0)] == notes.calls
    machine.exhausted = False
