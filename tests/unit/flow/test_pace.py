"""A pace: the turns of one process, and when it asks for more."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.flow.pace import Pace
from cloudq.flow.rates import Rate
from cloudq.flow.turns import LocalTurns
from cloudq.testing.clock import FakeClock

SECOND = timedelta(seconds=1)
MS = timedelta(milliseconds=1)
ZERO = timedelta(0)


class Bench:
    """A pace of 50 a second, on a clock that stands still."""

    def __init__(self, rate: str = "50/s", **how: timedelta) -> None:
        self.clock = FakeClock()
        self.turns = LocalTurns(Rate(rate), self.clock)
        self.pace = Pace("task t", Rate(rate), self.turns, **how)

    @property
    def now(self) -> timedelta:
        return self.clock.elapsed()

    def ask(self, count: int) -> None:
        self.pace.ask(count)(self.now)

    def others_take(self, count: int) -> None:
        self.turns.take(count, timedelta(hours=9))

    def enters(self) -> int:
        entered = 0
        while self.pace.enter(self.now):
            entered += 1
        return entered


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_enters_without_a_turn(bench: Bench) -> None:
    """It is asked for when something waits."""
    assert not bench.pace.enter(bench.now)
    assert bench.pace.wants(bench.now, 3, polling=False) == 3


@pytest.mark.parametrize("per_worker", [True, False])
def test_a_rate_of_one_worker_is_as_new_once_its_turns_are_past(bench: Bench, per_worker: bool) -> None:
    """Of one that workers share, the store knows."""
    pace = Pace("task t", Rate("50/s", per_worker=per_worker), bench.turns)
    assert pace.is_as_new(bench.now)
    pace.ask(2)(bench.now)
    bench.clock.advance(39 * MS)
    assert pace.is_as_new(bench.now) is not per_worker
    bench.clock.advance(MS)
    assert pace.is_as_new(bench.now)


def test_each_turn_lets_one_in_when_it_comes(bench: Bench) -> None:
    """Not before."""
    bench.ask(3)
    assert bench.enters() == 1
    assert bench.pace.next_at(bench.now) == 20 * MS
    bench.clock.advance(20 * MS)
    assert bench.enters() == 1


def test_a_turn_that_is_late_by_a_tenth_of_the_period_is_lost(bench: Bench) -> None:
    """So that a process that slept doesn't start all at once what it had turns for."""
    bench.ask(10)
    bench.clock.advance(180 * MS)
    assert bench.enters() == 6


def test_an_undone_turn_is_used_by_the_next_one(bench: Bench) -> None:
    """Once."""
    bench.ask(1)
    assert bench.pace.enter(bench.now)
    bench.pace.undo()
    bench.pace.undo()
    assert bench.enters() == 1


def test_while_turns_are_left_over_deliveries_come_first(bench: Bench) -> None:
    """As many as start soon; and in polls for many."""
    assert bench.pace.room(bench.now, 0) > 10
    assert bench.pace.room(bench.now, 7) == 0
    assert bench.pace.wants(bench.now, 0, polling=True) == 0


def test_once_the_rate_is_spent_turns_come_first(bench: Bench) -> None:
    """No more is received than there are turns for, a second before their time."""
    bench.others_take(150)
    bench.ask(2)
    assert bench.pace.room(bench.now, 0) == 0
    bench.clock.advance(2 * SECOND)
    assert bench.pace.room(bench.now, 0) == 2
    assert bench.pace.room(bench.now, 1) == 1
    bench.clock.advance(520 * MS)
    assert bench.pace.wants(bench.now, 0, polling=True) >= 10


def test_a_queue_that_is_empty_is_asked_freely_again(bench: Bench) -> None:
    """What waits for it wouldn't start any later."""
    bench.others_take(150)
    bench.ask(1)
    assert bench.pace.room(bench.now, 0) == 0
    assert bench.pace.holds_back == "rate"
    bench.pace.note_empty()
    assert bench.pace.holds_back is None
    assert bench.pace.room(bench.now, 0) > 0


def test_turns_beyond_the_horizon_are_not_waited_for() -> None:
    """It says how long each has to wait, and asks again when the first one comes within it."""
    bench = Bench("1/s", horizon=5 * SECOND)
    bench.others_take(60)
    bench.ask(3)
    assert [bench.pace.wait(bench.now, place) for place in range(2)] == [60 * SECOND, 61 * SECOND]
    assert bench.pace.wants(bench.now, 3, polling=False) == 0
    bench.clock.advance(57 * SECOND)
    assert bench.pace.wants(bench.now, 3, polling=False) == 3


def test_a_slow_rate_is_asked_for_little() -> None:
    """What a process that is killed takes with it is what it asked for."""
    bench = Bench("10/h")
    assert bench.pace.wants(bench.now, 500, polling=False) == 1


def test_a_store_that_fails_is_asked_less_and_less_often(bench: Bench) -> None:
    """One to fifteen seconds apart; the first failure is news."""
    pauses, news = [], []
    for _ in range(6):
        news.append(bench.pace.note_failure(bench.now))
        due = bench.pace.next_at(bench.now)
        assert due is not None
        assert bench.pace.wants(bench.now, 1, polling=False) == 0
        pauses.append((due - bench.now) / SECOND)
        bench.clock.advance(due - bench.now)
    assert pauses == [1, 2, 4, 8, 15, 15]
    assert news == [True, *[False] * 5]
    bench.ask(1)
    assert bench.pace.note_failure(bench.now)
