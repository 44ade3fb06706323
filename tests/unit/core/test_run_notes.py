"""Notes of runs: how often the store is asked, and what becomes of answers that are lost. The rest is in the kit."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.notes import Note, Notes, Written, new_version
from cloudq.core.run_life import KEPT_ENDED, KEPT_UNFINISHED, RunState
from cloudq.core.run_notes import CancelAnswer, Run, RunNotes
from cloudq.errors import StoreUnavailable
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock


class Watched:
    """Notes that count their calls, and lose the answers of those that are wanted lost."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.calls: list[str] = []
        self.durable: list[bool] = []
        self.losing = False

    def read(self, name: str) -> Note | None:
        self.calls.append("read")
        return self.notes.read(name)

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        self.calls.append("write")
        self.durable.append(durable)
        said = self.notes.write(name, text, after=after, keep=keep, durable=durable)
        if self.losing:
            self.losing = False
            raise StoreUnavailable("the answer was lost")
        return said

    def sweep(self, limit: int) -> int:
        return self.notes.sweep(limit)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def notes(clock: FakeClock) -> Watched:
    return Watched(MemoryStore(clock).notes)


@pytest.fixture
def runs(notes: Watched) -> RunNotes:
    return RunNotes(notes)


def started(runs: RunNotes, owner: str = "a", *, look: bool = False) -> Run:
    run = runs.start("1", "t", owner=owner, attempt=1, keep=None, look=look)
    assert isinstance(run, Run)
    return run


def test_a_run_that_nobody_tracks_costs_two_writes(notes: Watched, runs: RunNotes) -> None:
    """And one more for each report; nothing is read."""
    run = started(runs)
    assert run.report(1, 2)
    assert run.end(RunState.SUCCEEDED, result=b"42")
    assert notes.calls == ["write"] * 3


def test_a_loss_of_power_may_only_take_that_a_run_began(notes: Watched, runs: RunNotes) -> None:
    """Which it has ended. What was sent, what somebody wished and how a run ended are kept."""
    runs.track("1", "t")
    run = started(runs, look=True)
    runs.cancel("1")
    assert notes.durable == [True, False, True]
    assert run.end(RunState.SUCCEEDED)
    assert all(notes.durable[3:])


def test_what_is_handed_over_again_too_late_has_not_expired_while_it_runs(clock: FakeClock, runs: RunNotes) -> None:
    """It was begun in time, and its result is noted. Of a run that isn't heard of any more there will be none."""
    run = started(runs)
    clock.advance(timedelta(minutes=3))
    assert run.report(1, 2)
    runs.bury("1", "t", RunState.EXPIRED, "expired 2 min ago", keep=None)
    assert run.report(2, 2)
    clock.advance(timedelta(minutes=3))
    runs.bury("1", "t", RunState.EXPIRED, "expired 5 min ago", keep=None)
    seen = runs.look("1")
    assert seen is not None
    assert seen.record.state is RunState.EXPIRED
    assert not run.end(RunState.SUCCEEDED)


@pytest.mark.parametrize("how", ["dropped", "cancelled at its start", "given up by its run"])
def test_what_is_cancelled_is_known_for_as_long_as_its_message_may_come(
    clock: FakeClock, runs: RunNotes, how: str
) -> None:
    """Whatever `keep_result` says: it would run else."""
    keep, after = timedelta(minutes=1), KEPT_ENDED
    if how == "given up by its run":
        run = runs.start("1", "t", owner="a", attempt=1, keep=keep)
        assert isinstance(run, Run)
        assert run.end(RunState.CANCELLED)
    else:  # it is in its queue, maybe for weeks
        after = KEPT_UNFINISHED
        runs.track("1", "t")
        assert runs.drop("1", "") if how == "dropped" else runs.cancel("1") is CancelAnswer.WILL_NOT_RUN
    clock.advance((after - timedelta(minutes=2)) / 2)
    assert how == "dropped" or runs.start("1", "t", owner="b", attempt=1, keep=keep) is RunState.CANCELLED
    clock.advance((after - timedelta(minutes=2)) / 2)
    assert runs.start("1", "t", owner="c", attempt=2, keep=keep) is RunState.CANCELLED


def test_what_is_tried_again_is_known_until_then(clock: FakeClock, runs: RunNotes) -> None:
    """However far away that is, so that it can be cancelled."""
    ahead = timedelta(days=40)
    assert started(runs).end(RunState.RETRIED, "later", delay=ahead)
    clock.advance(ahead / 2)
    assert runs.cancel("1") is CancelAnswer.WILL_NOT_RUN
    clock.advance(ahead / 2)
    assert runs.start("1", "t", owner="b", attempt=2, keep=None) is RunState.CANCELLED


def test_the_reason_of_what_ended_without_a_run_can_be_stored(runs: RunNotes) -> None:
    """It is as little to be trusted as that of a run."""
    runs.bury("1", "t", RunState.DEAD_LETTERED, "no \udcff" + "x" * 5_000, keep=None)
    seen = runs.look("1")
    assert seen is not None
    assert seen.record.reason == ("no ?" + "x" * 5_000)[:1_000]


def test_a_sender_costs_one_write(notes: Watched, runs: RunNotes) -> None:
    """Also where the worker was faster."""
    runs.track("1", "t")
    runs.track("1", "t")
    assert notes.calls == ["write", "write"]


def test_a_wish_costs_the_owner_one_more_write(notes: Watched, runs: RunNotes) -> None:
    """The refused one brings the wish."""
    run = started(runs)
    runs.cancel("1")
    notes.calls.clear()
    assert run.report(None, None)
    assert run.unwanted
    assert notes.calls == ["write", "write"]


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.RETRIED, RunState.DEAD_LETTERED, RunState.CANCELLED])
def test_an_end_whose_answer_was_lost_is_noted_once(notes: Watched, runs: RunNotes, state: RunState) -> None:
    """The second try finds its own."""
    run = started(runs)
    notes.losing = True
    with pytest.raises(StoreUnavailable):
        run.end(state, "why", b"42")
    assert run.end(state, "why", b"43")
    seen = runs.look("1")
    assert seen is not None
    assert (seen.record.state, seen.record.result) == (state, b"42")


def test_a_start_whose_answer_was_lost_is_the_same_run(notes: Watched, runs: RunNotes) -> None:
    """By its owner's name."""
    notes.losing = True
    with pytest.raises(StoreUnavailable):
        started(runs)
    assert started(runs).end(RunState.SUCCEEDED)


def test_a_report_whose_answer_was_lost_goes_on(notes: Watched, runs: RunNotes) -> None:
    """The next one finds that the note is its own."""
    run = started(runs)
    notes.losing = True
    with pytest.raises(StoreUnavailable):
        run.report(1, 2)
    assert run.report(2, 2)


def test_a_wish_whose_answer_was_lost_can_be_said_again(notes: Watched, runs: RunNotes) -> None:
    """It is the same one."""
    runs.track("1", "t")
    notes.losing = True
    with pytest.raises(StoreUnavailable):
        runs.cancel("1")
    assert runs.cancel("1") is CancelAnswer.WILL_NOT_RUN


def test_a_note_that_changes_hands_too_fast_is_a_store_that_fails(notes: Watched, runs: RunNotes) -> None:
    """It can be tried again; nothing spins."""
    runs.track("1", "t")
    note = notes.read("run 1")
    assert note is not None

    class Contested(Watched):
        def write(
            self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
        ) -> Written | Note | None:
            del name, text, after, keep
            self.calls.append("write")
            return Note(text=note.text, version=new_version(), at=note.at, age=note.age, left=note.left)

    contested = Contested(notes.notes)
    with pytest.raises(StoreUnavailable, match="too fast"):
        RunNotes(contested).cancel("1")
    assert len(contested.calls) < 20


def test_a_note_that_cannot_be_read_is_a_store_that_fails(notes: Watched, runs: RunNotes) -> None:
    """Nothing is guessed."""
    notes.write("run 1", b"\x00nonsense", after=0, keep=timedelta(days=1))
    with pytest.raises(StoreUnavailable, match="can't be read"):
        runs.look("1")
