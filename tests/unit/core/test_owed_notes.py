"""What is owed of a run is written once, together with what others owe, and what it began with gives way to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from cloudq.core.notes import Note, NoteWrite, Written
from cloudq.core.owed_notes import OwedNote, OwedNotes, pay_all
from cloudq.errors import TimeLimitExceeded
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.testing.clock import FakeClock
from tests.unit.core.limit_for_tests import limited

DAY = timedelta(days=1)


class Counted(MemoryNotes):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.calls: list[list[str]] = []
        self.error: BaseException | None = None

    def write_together(self, writes: Sequence[NoteWrite]) -> Sequence[Written | Note | None]:
        self.calls.append([write.name for write in writes])
        if self.error is not None:
            raise self.error
        return super().write_together(writes)


@pytest.fixture
def notes() -> Counted:
    """Of a store that can write several at once."""
    return Counted()


def of(notes: Counted, name: str, said: list[object], after: int = 0) -> OwedNote:
    return OwedNote(notes, NoteWrite(name=name, text=name.encode(), after=after, keep=DAY), said.append)


def test_a_time_limit_that_strikes_while_it_is_written_is_raised_after_it(notes: Counted) -> None:
    """It is no failure of the store, and the run isn't to go on without a limit."""
    said: list[object] = []
    run = OwedNotes()
    run.end(of(notes, "1", said))
    with limited() as limit:
        notes.write_together = limit.over_in(notes.write_together)  # type: ignore[method-assign]
        with pytest.raises(TimeLimitExceeded):
            run.pay()
    assert [Written] == [type(answer) for answer in said]
    assert not run


def test_what_several_runs_owe_is_one_call_of_each_store(notes: Counted) -> None:
    """And each is told its own answer: one that is refused costs those beside it nothing."""
    other = Counted()
    runs = [OwedNotes() for _ in range(4)]
    said: list[list[object]] = [[] for _ in runs]
    for number, (run, told) in enumerate(zip(runs, said, strict=True)):
        run.end(of(other if number == 3 else notes, str(number), told, after=7 if number == 1 else 0))
        assert run
    pay_all(runs)
    assert [["0", "1", "2"]] == notes.calls
    assert [["3"]] == other.calls
    assert [Written, type(None), Written, Written] == [type(answer) for [answer] in said]
    assert not any(runs)
    assert notes.read("0") is not None
    assert notes.read("1") is None


def test_it_is_paid_once(notes: Counted) -> None:
    """Whoever pays, and however often; nothing owed is no call."""
    run = OwedNotes()
    run.pay()
    run.end(of(notes, "a", []))
    run.pay()
    run.pay()
    pay_all([run])
    run.end(of(notes, "b", []))
    run.drop()
    run.pay()
    assert [["a"]] == notes.calls


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("a package's own")], ids=lambda error: error.args[0])
def test_a_store_that_fails_is_told_and_nothing_is_raised(notes: Counted, error: Exception) -> None:
    """The work is done all the same; and it isn't tried again."""
    notes.error = error
    first: list[object] = []
    second: list[object] = []
    runs = [OwedNotes(), OwedNotes()]
    runs[0].end(of(notes, "a", first))
    runs[1].end(of(notes, "b", second))
    pay_all(runs)
    assert [error] == first == second
    assert not any(runs)


def test_what_a_store_panics_at_is_still_owed(notes: Counted) -> None:
    """Some stores' packages raise what is no Exception. The message must not be acknowledged without its note."""
    run = OwedNotes()
    run.end(of(notes, "end", []))
    notes.error = GeneratorExit()
    for pay in (run.pay, lambda: pay_all([run])):
        with pytest.raises(GeneratorExit):
            pay()
        assert run
    notes.error = None
    run.pay()
    assert not run
    assert notes.read("end") is not None


def test_a_beginning_waits_only_where_somebody_looks_after_it(notes: Counted) -> None:
    """And for no longer than that one is patient."""
    run = OwedNotes()
    assert not run.begin(of(notes, "begun", []))
    run.patient = True
    assert not OwedNotes().hurry()
    assert run.begin(of(notes, "begun", []))
    assert run.hurry()
    run.pay()
    assert [["begun"]] == notes.calls
    assert not run.begin(of(notes, "late", []))


def test_a_beginning_does_not_wait_for_whom_lost_patience_before_it(notes: Counted) -> None:
    """A run's thread may be kept from going on between the moment it is looked after and the one it may wait."""
    run = OwedNotes()
    assert not run.hurry()
    run.patient = True
    assert not run.begin(of(notes, "begun", []))


@pytest.mark.parametrize("pay", [OwedNotes.pay, OwedNotes.drop, lambda run: pay_all([run])], ids=["pay", "drop", "all"])
def test_who_pays_waits_for_what_another_thread_is_writing(notes: Counted, pay: Callable[[OwedNotes], None]) -> None:
    """Else a message would be acknowledged while the note of its end is on its way, and might never arrive."""
    run = OwedNotes()
    writing, go_on = threading.Event(), threading.Event()
    steps: list[str] = []

    def told(_: object) -> None:
        writing.set()
        go_on.wait(60)
        steps.append("written")

    def wait_and_pay() -> None:
        pay(run)
        steps.append("paid")

    run.end(of(notes, "a", [])._replace(told=told))
    threads = [threading.Thread(target=run.pay), threading.Thread(target=wait_and_pay)]
    threads[0].start()
    assert writing.wait(60)
    assert run
    threads[1].start()
    threads[1].join(0.05)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert ["written", "paid"] == steps
    assert not run


def test_who_pays_while_it_pays_finds_nothing(notes: Counted) -> None:
    """As a handler of what is logged meanwhile may, in the same thread."""
    run = OwedNotes()
    seen: list[bool] = []

    def told(_: object) -> None:
        run.pay()
        seen.append(bool(run))

    run.end(of(notes, "a", [])._replace(told=told))
    run.pay()
    assert [True] == seen
    assert not run


def test_an_end_stands_for_the_beginning_too(notes: Counted) -> None:
    """A run that was short is noted once."""
    run = OwedNotes()
    run.patient = True
    assert run.begin(of(notes, "begun", []))
    run.end(of(notes, "ended", []))
    run.pay()
    assert [["ended"]] == notes.calls


def test_who_cannot_take_an_answer_in_costs_the_others_nothing(
    notes: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor the thread, which is shared."""
    said: list[object] = []
    runs = [OwedNotes(), OwedNotes()]
    runs[0].end(of(notes, "a", said)._replace(told=lambda _: 1 // 0))
    runs[1].end(of(notes, "b", said))
    pay_all(runs)
    assert 1 == len(said)
    assert ["what a store said of a could not be taken in"] == caplog.messages
