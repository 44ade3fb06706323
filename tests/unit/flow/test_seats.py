"""Seats: no more run at once than there are, in all processes together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cloudq import AtOnce, OptionError
from cloudq.core.notes import Note
from cloudq.errors import StoreUnavailable
from cloudq.flow.seats import LEASE, LINGER, RENEW_AFTER, LocalRegister, Seats, StoredRegister
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.testing.clock import FakeClock

SECOND = timedelta(seconds=1)


class Process:
    """One of several, on one clock and one store."""

    def __init__(self, bench: Bench) -> None:
        self.clock = bench.clock
        register = StoredRegister(lambda: bench.notes, "task t", 3)
        self.seats = Seats("task t", 3, register, clock=bench.clock)

    @property
    def now(self) -> timedelta:
        return self.clock.elapsed()

    def tend(self, waiting: int = 0, *, polling: bool = False) -> bool:
        """Asks, if it is to. Whether it did."""
        count = self.seats.wants(self.now, waiting, polling=polling)
        if count:
            self.seats.ask(count)(self.now)
        return bool(count)

    def start(self, waiting: int) -> int:
        """How many of those that wait start."""
        self.tend(waiting)
        return sum(self.seats.enter(self.now) for _ in range(waiting))

    def end(self, count: int = 1) -> None:
        for _ in range(count):
            self.seats.leave(self.now, entered=self.now, failed=False)


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.notes = MemoryNotes(self.clock)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def two(bench: Bench) -> tuple[Process, Process]:
    return Process(bench), Process(bench)


def test_no_more_start_than_there_are_seats(two: tuple[Process, Process]) -> None:
    """In both together; one that ends makes room for another, once its process has no use for the seat."""
    one, other = two
    assert one.start(2) == 2
    assert other.start(5) == 1
    one.end()
    one.clock.advance(LINGER)
    assert one.tend()
    assert other.start(4) == 1


def test_a_busy_process_asks_for_no_task_of_its_own(two: tuple[Process, Process]) -> None:
    """It keeps its seats from one task to the next."""
    one, _ = two
    one.start(3)
    one.end(3)
    assert not one.tend(3)
    assert sum(one.seats.enter(one.now) for _ in range(4)) == 3


def test_seats_are_renewed_while_their_process_lives(two: tuple[Process, Process]) -> None:
    """However long its tasks run."""
    one, other = two
    one.start(3)
    for _ in range(9):
        one.clock.advance(RENEW_AFTER)
        assert one.seats.next_at(one.now - SECOND) is not None
        assert one.tend()
        assert other.start(1) == 0
    one.end(3)


def test_a_dead_process_has_its_seats_until_its_lease_is_over(two: tuple[Process, Process]) -> None:
    """And no longer."""
    one, other = two
    one.start(3)
    one.clock.advance(LEASE - SECOND)
    assert other.start(3) == 0
    one.clock.advance(SECOND)
    assert other.start(3) == 3


def test_others_do_not_renew_the_seats_of_the_dead(two: tuple[Process, Process]) -> None:
    """Though each of their changes writes all of them anew."""
    dead, alive = two
    dead.start(1)
    for _ in range(3):
        alive.clock.advance(RENEW_AFTER)
        alive.tend(2)
    assert alive.seats.enter(alive.now)
    assert alive.start(2) == 2
    assert alive.seats.holds_back is None


def test_nothing_sits_down_on_a_seat_that_is_over(two: tuple[Process, Process]) -> None:
    """A process that was cut off, or slept: others may have it."""
    one, _ = two
    one.start(3)
    one.end(3)
    one.clock.suspend(LEASE)
    assert not one.seats.enter(one.now)


def test_a_process_that_came_back_too_late_waits_for_its_tasks_to_end(two: tuple[Process, Process]) -> None:
    """It has fewer seats than run."""
    one, other = two
    one.start(2)
    one.clock.advance(LEASE)
    assert other.start(3) == 3
    one.tend(1)
    assert not one.seats.enter(one.now)
    one.end(2)
    other.end(3)
    other.seats.close()
    one.clock.advance(SECOND)
    assert one.start(1) == 1


def test_where_all_are_taken_no_more_is_received_than_it_has_seats_for(two: tuple[Process, Process]) -> None:
    """And it asks again each second."""
    one, other = two
    assert one.seats.room(one.now, 1) == 2
    other.start(3)
    one.start(1)
    assert one.seats.room(one.now, 0) == 0
    assert not one.tend(0, polling=True)
    other.seats.close()
    one.clock.advance(SECOND)
    assert one.tend(0, polling=True)
    assert one.seats.room(one.now, 0) == 3


def test_an_undone_seat_is_free(two: tuple[Process, Process]) -> None:
    """And goes back in time."""
    one, other = two
    one.tend(1)
    assert one.seats.enter(one.now)
    one.seats.undo()
    one.clock.advance(LINGER)
    assert one.tend()
    assert one.seats.is_idle
    assert other.start(3) == 3


def test_a_process_that_ends_gives_its_seats_back(two: tuple[Process, Process]) -> None:
    """At once, if the store can be reached."""
    one, other = two
    one.start(3)
    one.seats.close()
    assert other.start(3) == 3


def test_nothing_sits_down_on_a_seat_that_goes_back(two: tuple[Process, Process]) -> None:
    """Another process may have it as soon as the store knows, which is before its answer is here."""
    one, other = two
    assert one.start(3) == 3
    one.end(2)
    one.clock.advance(LINGER)
    answer = one.seats.ask(one.seats.wants(one.now, 0, polling=False))
    assert other.start(2) == 2
    assert not one.seats.enter(one.now)
    answer(one.now)
    assert not one.seats.enter(one.now)
    other.end(2)
    other.seats.close()
    one.clock.advance(SECOND)
    assert one.start(2) == 2


@pytest.mark.parametrize(("waiting", "taken"), [(0, 0), (1, 1)])
def test_a_seat_of_which_it_is_not_known_whether_it_went_back_is_asked_for(
    two: tuple[Process, Process], waiting: int, taken: int
) -> None:
    """Before anything sits down on it, or it is given back once more."""
    one, other = two
    one.start(1)
    one.end()
    one.clock.advance(LINGER)
    one.seats.ask(one.seats.wants(one.now, 0, polling=False))  # the store does it, but its answer is lost
    one.seats.note_failure(one.now)
    assert not one.seats.enter(one.now)
    assert not one.seats.is_idle
    one.clock.advance(SECOND)
    assert one.start(waiting) == taken
    assert one.seats.is_idle is not bool(taken)
    assert other.start(3) == 3 - taken


def test_a_store_that_fails_is_asked_less_and_less_often(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a process, too, it is a matter of who ends it."""
    process = Process(bench)
    process.start(1)

    def read(name: str) -> Note | None:
        raise StoreUnavailable("no route")

    monkeypatch.setattr(bench.notes, "read", read)
    with pytest.raises(StoreUnavailable):
        process.tend(2)
    for seconds in (1, 2, 4, 8, 15, 15):
        process.seats.note_failure(process.now)
        process.clock.advance(seconds * SECOND - SECOND / 1000)
        assert process.seats.wants(process.now, 2, polling=False) == 0
        process.clock.advance(SECOND / 1000)
        assert process.seats.wants(process.now, 2, polling=False)
    with pytest.raises(StoreUnavailable):
        process.seats.close()


def test_what_has_no_seats_is_as_new(two: tuple[Process, Process]) -> None:
    """Nor has those that are over; while somebody sits, another one wouldn't know of it."""
    seats, clock = two[0].seats, two[0].clock
    assert seats.is_as_new(clock.elapsed())
    two[0].start(1)
    clock.advance(LEASE)
    assert not seats.is_as_new(clock.elapsed())
    two[0].end()
    assert seats.is_as_new(clock.elapsed())
    two[0].tend(1)
    assert not seats.is_as_new(clock.elapsed())


def test_each_worker_can_count_for_itself(bench: Bench) -> None:
    """Without a store, and without an end."""
    seats = Seats("t", 2, LocalRegister(2), clock=bench.clock)
    seats.wants(bench.clock.elapsed(), 5, polling=False)
    seats.ask(1)(bench.clock.elapsed())
    bench.clock.advance(1000 * LEASE)
    assert [seats.enter(bench.clock.elapsed()) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("make", [lambda: AtOnce(0), lambda: AtOnce(True), lambda: AtOnce(10_001)])
def test_what_is_no_number_is_refused(make: Callable[[], AtOnce]) -> None:
    """With the bounds."""
    with pytest.raises(OptionError, match="1 to 10,000"):
        make()


def test_it_is_shown_as_it_was_written() -> None:
    """In an error."""
    wrong: Any = "yes"
    assert repr(AtOnce(5, key="{a}", per_worker=True)) == "AtOnce(5, key='{a}', per_worker=True)"
    with pytest.raises(OptionError, match="per_worker"):
        AtOnce(5, per_worker=wrong)
