"""Turns: one line for all that share a rate, by the store's clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cloudq.core.notes import Note, Written
from cloudq.flow.rates import Rate
from cloudq.flow.turns import Granted, LocalTurns, Spent, StoredTurns, Turns
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.testing.clock import FakeClock

SECOND = timedelta(seconds=1)
ZERO = timedelta(0)
RATE = Rate("10/s")


def local(clock: FakeClock) -> Callable[[], Turns]:
    turns = LocalTurns(RATE, clock)
    return lambda: turns


def stored(clock: FakeClock) -> Callable[[], Turns]:
    notes = MemoryNotes(clock)
    return lambda: StoredTurns(lambda: notes, "task t", RATE)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=[local, stored])
def turns(request: pytest.FixtureRequest, clock: FakeClock) -> Any:
    """Opens the turns of one rate."""
    return request.param(clock)


def test_everybody_has_turns_of_their_own(turns: Callable[[], Turns]) -> None:
    """The next one's begin where the one's before end."""
    assert turns().take(3, SECOND) == Granted(ZERO, 3)
    assert turns().take(2, SECOND) == Granted(3 * SECOND / 10, 2)
    assert turns().take(1, SECOND) == Granted(5 * SECOND / 10, 1)


def test_turns_that_are_too_far_away_are_not_taken(turns: Callable[[], Turns]) -> None:
    """Who asks learns how far, and takes none from others."""
    turns().take(20, SECOND)
    assert turns().take(1, SECOND) == Spent(2 * SECOND)
    assert turns().take(1, 2 * SECOND) == Granted(2 * SECOND, 1)


def test_time_that_passes_unused_is_not_saved_up(turns: Callable[[], Turns], clock: FakeClock) -> None:
    """After a rest the next turn is now, and the one after it no sooner than ever."""
    turns().take(10, SECOND)
    clock.advance(timedelta(minutes=30))
    assert turns().take(1, SECOND) == Granted(ZERO, 1)
    assert turns().take(1, SECOND) == Granted(SECOND / 10, 1)


def test_they_come_nearer_as_time_passes(turns: Callable[[], Turns], clock: FakeClock) -> None:
    """By as much as passes."""
    turns().take(10, SECOND)
    clock.advance(SECOND / 4)
    assert turns().take(1, SECOND) == Granted(3 * SECOND / 4, 1)


class SlowNotes(MemoryNotes):
    """A quarter of a second passes between a look and the write that follows."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.clock = clock

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        self.clock.advance(SECOND / 4)
        return super().write(name, text, after=after, keep=keep)


def test_a_store_that_is_slow_loses_no_turns(clock: FakeClock) -> None:
    """The time between a look and its write isn't added to the line, but for the first writer, who can't know it."""
    turns = StoredTurns(lambda: notes, "t", RATE)
    notes = SlowNotes(clock)
    began = clock.elapsed()
    for _ in range(10):
        taken = turns.take(5, timedelta(minutes=1))
        assert isinstance(taken, Granted)
    last = taken.first + clock.elapsed() - SECOND / 4 + 4 * RATE.each
    assert last - began <= 49 * RATE.each + SECOND / 4


def test_a_wall_clock_that_is_set_changes_nothing(clock: FakeClock) -> None:
    """Neither back nor ahead: the note's age is gone by then."""
    notes = MemoryNotes(clock)
    turns = StoredTurns(lambda: notes, "t", RATE)
    turns.take(5, SECOND)
    turns.take(5, SECOND)
    clock.step(timedelta(hours=1))
    assert turns.take(1, SECOND) == Granted(SECOND, 1)
    clock.step(-timedelta(hours=2))
    assert turns.take(1, 2 * SECOND) == Granted(SECOND + RATE.each, 1)


def test_rates_of_other_names_are_apart(clock: FakeClock) -> None:
    """In one store."""
    notes = MemoryNotes(clock)
    StoredTurns(lambda: notes, "a", RATE).take(10, SECOND)
    assert StoredTurns(lambda: notes, "b", RATE).take(1, SECOND) == Granted(ZERO, 1)
