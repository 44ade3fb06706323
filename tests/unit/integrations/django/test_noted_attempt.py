"""What is noted of one attempt: at once, or together with others; and who gives way to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from cloudq.core.notes import Notes
from cloudq.core.owed_notes import OWED, OwedNotes
from cloudq.errors import StoreUnavailable, TimeLimitExceeded
from cloudq.integrations.django.noted_attempt import NotedAttempt
from cloudq.integrations.django.results import READY, RUNNING, SUCCESSFUL, Kept, KeptResults
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.testing.clock import FakeClock
from tests.unit.core.limit_for_tests import limited

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NO_TIME = timedelta(0)
FRESH = Kept(task="a.b", queue="default", backend="default", args=[1])


class Watched(MemoryNotes):
    """Counts what is written, and how; may be down."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        super().__init__(self.clock)
        self.durable: list[bool] = []
        self.down = False

    def write(self, *arguments: Any, **options: Any) -> Any:
        if self.down:
            raise StoreUnavailable("down")
        self.durable.append(options["durable"])
        return super().write(*arguments, **options)

    def write_together(self, writes: Any) -> Any:
        if self.down:
            raise StoreUnavailable("down")
        self.durable += [write.durable for write in writes]
        return super().write_together(writes)


class Bench(NamedTuple):
    """A store, and what is kept in it."""

    notes: Watched
    results: KeptResults

    def seen(self) -> Kept:
        """What is noted of message 1."""
        seen = self.results.look("1")
        assert seen is not None
        return seen

    def attempt(self, number: int = 1) -> NotedAttempt:
        return NotedAttempt(self.results, "1", number)


Owes = Callable[[OwedNotes], None]


@pytest.fixture
def bench() -> Bench:
    """Empty."""
    notes = Watched()
    return Bench(notes, KeptResults(lambda: notes, timedelta(days=1)))


@pytest.fixture
def owes() -> Iterator[Owes]:
    """Has runs from now on owe what may wait."""
    tokens = []

    def owes(owed: OwedNotes) -> None:
        tokens.append(OWED.set(owed))

    yield owes
    for token in reversed(tokens):
        OWED.reset(token)


def patient() -> OwedNotes:
    """As of a run in a series that is looked after."""
    owed = OwedNotes()
    owed.patient = True
    return owed


def ended(begun: Kept) -> Kept:
    return replace(begun, status=SUCCESSFUL, value="done")


def test_where_nothing_may_wait_each_step_is_noted_at_once(bench: Bench) -> None:
    """Only how it ended is flushed to a disk: a loss of power may take what has no end yet."""
    attempt = bench.attempt()
    begun = attempt.begin(FRESH, "w", NOW, may_wait=True)
    assert begun == bench.seen()
    assert (RUNNING, NOW, ["w"]) == (begun.status, begun.started_at, begun.workers)
    attempt.end(ended(begun), may_wait=True)
    assert SUCCESSFUL == bench.seen().status
    assert [False, True] == bench.notes.durable


def test_a_run_that_takes_longer_than_notes_are_kept_is_noted_all_the_same(bench: Bench) -> None:
    """What it saw at its beginning is gone by then, and what it returned isn't."""
    attempt = bench.attempt()
    begun = attempt.begin(FRESH, "w", NOW, may_wait=True)
    bench.notes.clock.advance(timedelta(days=2))
    attempt.end(ended(begun), may_wait=True)
    assert ended(begun) == bench.seen()


def test_a_time_limit_that_strikes_while_a_beginning_is_noted_is_raised_after_it(bench: Bench) -> None:
    """It is no failure of the store, and the task isn't to run without a limit."""
    with limited() as limit:
        bench.notes.write = limit.over_in(bench.notes.write)  # type: ignore[method-assign]
        with pytest.raises(TimeLimitExceeded):
            bench.attempt().begin(FRESH, "w", NOW, may_wait=False)
    assert RUNNING == bench.seen().status


def test_a_short_attempt_is_noted_once_when_it_is_paid(bench: Bench, owes: Owes) -> None:
    """Until then it is what its send has noted."""
    bench.results.add([("1", FRESH, NO_TIME)])
    owed = patient()
    owes(owed)
    attempt = bench.attempt()
    begun = attempt.begin(FRESH, "w", NOW, may_wait=True)
    attempt.end(ended(begun), may_wait=True)
    OWED.set(None)
    assert READY == bench.seen().status
    owed.pay()
    assert ended(begun) == bench.seen()
    assert [False, True] == bench.notes.durable  # of the send, and of the end
    assert owed.spent > 0


def test_an_attempt_that_takes_its_time_is_noted_as_running(bench: Bench, owes: Owes) -> None:
    """Once somebody pays what it owes; its end follows that."""
    owed = patient()
    owes(owed)
    attempt = bench.attempt()
    begun = attempt.begin(FRESH, "w", NOW, may_wait=True)
    assert owed.hurry()
    owed.pay()
    assert begun == bench.seen()
    attempt.end(ended(begun), may_wait=True)
    assert owed
    owed.pay()
    assert SUCCESSFUL == bench.seen().status


def test_a_send_that_is_noted_while_a_beginning_waits_does_not_keep_it_from_being_noted(
    bench: Bench, owes: Owes
) -> None:
    """A worker may be faster than who sends; and the task may take an hour, of which people want to know."""
    owed = patient()
    owes(owed)
    begun = bench.attempt().begin(FRESH, "w", NOW, may_wait=True)
    bench.results.add([("1", FRESH, NO_TIME)])
    assert owed.hurry()
    owed.pay()
    assert begun == bench.seen()


def test_an_end_follows_a_beginning_whose_answer_is_still_on_its_way(bench: Bench, owes: Owes) -> None:
    """Another thread notes the beginning while the run ends: whichever is first, the end is what stays."""
    owed = patient()
    owes(owed)
    attempt = bench.attempt()
    begun = attempt.begin(FRESH, "w", NOW, may_wait=True)
    [beginning] = owed.take()
    attempt.end(ended(begun), may_wait=True)
    beginning.notes.write_together([beginning.write])
    owed.pay()
    assert SUCCESSFUL == bench.seen().status
    beginning.notes.write_together([beginning.write])  # it is too late, and refused
    assert SUCCESSFUL == bench.seen().status


def test_a_beginning_that_cannot_wait_is_noted_at_once_and_its_time_is_told(bench: Bench, owes: Owes) -> None:
    """So that a task counts as short by what it does itself."""
    owed = OwedNotes()
    owes(owed)
    begun = bench.attempt().begin(FRESH, "w", NOW, may_wait=True)
    assert begun == bench.seen()
    assert owed.spent > 0


def test_what_is_told_of_is_noted_before(bench: Bench, owes: Owes) -> None:
    """A receiver may tell others, who look at once."""
    owed = patient()
    owes(owed)
    attempt = bench.attempt()
    begun = attempt.begin(FRESH, "w", NOW, may_wait=False)
    assert [False] == bench.notes.durable
    attempt.end(ended(begun), may_wait=False)
    assert [False, True] == bench.notes.durable
    assert (False, 0.0) == (bool(owed), owed.spent)


def test_a_failure_is_noted_at_once_in_place_of_its_beginning(bench: Bench, owes: Owes) -> None:
    """The next attempt may begin at once, elsewhere."""
    owed = patient()
    owes(owed)
    attempt = bench.attempt()
    begun = attempt.begin(FRESH, "w", NOW, may_wait=True)
    attempt.end(replace(begun, status=READY), may_wait=False)
    assert not owed
    assert (READY, ["w"]) == (bench.seen().status, bench.seen().workers)
    assert [True] == bench.notes.durable


def test_a_store_without_a_write_for_several_is_written_to_at_once(
    bench: Bench, owes: Owes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits where that saves nothing."""
    monkeypatch.delattr(Watched, "write_together")
    monkeypatch.delattr(MemoryNotes, "write_together")
    owed = patient()
    owes(owed)
    attempt = bench.attempt()
    begun = attempt.begin(FRESH, "w", NOW, may_wait=True)
    attempt.end(ended(begun), may_wait=True)
    assert not owed
    assert [False, True] == bench.notes.durable


def test_a_send_that_is_noted_late_takes_nothing_away(bench: Bench, owes: Owes) -> None:
    """A worker may be faster than the sender, whose note then comes between."""
    owed = patient()
    owes(owed)
    attempt = bench.attempt()
    begun = attempt.begin(FRESH, "w", NOW, may_wait=True)
    bench.results.add([("1", FRESH, NO_TIME)])
    attempt.end(ended(begun), may_wait=True)
    owed.pay()
    assert SUCCESSFUL == bench.seen().status


def test_an_attempt_that_was_overtaken_notes_nothing(bench: Bench) -> None:
    """Its lease was lost, and another worker has begun."""
    first, second = bench.attempt(1), bench.attempt(2)
    begun = first.begin(FRESH, "w", NOW, may_wait=True)
    again = second.begin(FRESH, "v", NOW, may_wait=True)
    assert ["w", "v"] == again.workers
    first.end(ended(begun), may_wait=True)
    assert again == bench.seen()
    second.end(ended(again), may_wait=True)
    assert ended(again) == bench.seen()


def test_a_later_attempt_that_has_not_noted_that_it_began_still_has_the_last_word(bench: Bench, owes: Owes) -> None:
    """An earlier one, whose lease was lost, ended in the few milliseconds between."""
    bench.results.add([("1", FRESH, NO_TIME)])
    first, second, owed = bench.attempt(1), bench.attempt(2), patient()
    begun = first.begin(FRESH, "w", NOW, may_wait=True)
    owes(owed)
    again = second.begin(FRESH, "v", NOW, may_wait=True)
    second.end(ended(again), may_wait=True)
    OWED.set(None)
    first.end(replace(begun, status=READY), may_wait=True)
    owed.pay()
    assert ended(again) == bench.seen()


def test_a_store_that_fails_ends_no_run(bench: Bench, owes: Owes, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, each time; and once the store is back, how it ended is noted all the same."""
    bench.notes.down = True
    attempt = bench.attempt(2)
    begun = attempt.begin(FRESH, "w", NOW, may_wait=False)
    assert ["unknown", "w"] == begun.workers
    owed = OwedNotes()
    owes(owed)
    attempt.end(ended(begun), may_wait=True)
    owed.pay()
    assert ["what became of 1 couldn't be noted: down"] * 2 == [record.getMessage() for record in caplog.records]
    bench.notes.down = False
    attempt.end(ended(begun), may_wait=True)
    owed.pay()
    assert SUCCESSFUL == bench.seen().status


def test_what_another_version_wrote_is_left_as_it_is(bench: Bench) -> None:
    """It can't be told whose it is."""
    attempt = bench.attempt()
    begun = attempt.begin(FRESH, "w", NOW, may_wait=True)
    notes: Notes = bench.notes
    seen = notes.read("django:1")
    assert seen is not None
    notes.write("django:1", b"[]", after=seen.version, keep=timedelta(days=1), durable=True)
    attempt.end(ended(begun), may_wait=True)
    left = notes.read("django:1")
    assert left is not None
    assert b"[]" == left.text
