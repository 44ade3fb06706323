"""How fast a queue's deliveries are started, and how many may wait therefore."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.testing.clock import FakeClock
from cloudq.worker.prefetch import LATELY, MOST, StartRate

LEASE = timedelta(seconds=120)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def start(rate: StartRate, clock: FakeClock, count: int, every: timedelta) -> None:
    """Starts that many, one by one."""
    for _ in range(count):
        rate.note_start(clock.elapsed())
        clock.advance(every)


def test_what_starts_within_a_second_may_wait(clock: FakeClock) -> None:
    """At 100 starts a second 100 may wait, also at the first measurement."""
    rate = StartRate(LEASE)
    start(rate, clock, 10, timedelta(milliseconds=10))
    assert 100 == rate.prefetch(clock.elapsed())


def test_a_short_lease_bounds_it(clock: FakeClock) -> None:
    """No more may wait than starts in a quarter of the lease."""
    rate = StartRate(timedelta(seconds=2))
    start(rate, clock, 10, timedelta(milliseconds=10))
    assert 50 == rate.prefetch(clock.elapsed())


def test_nothing_is_measured_at_once(clock: FakeClock) -> None:
    """Before anything was started, and in the first moment after, nothing is known: nothing may wait."""
    rate = StartRate(LEASE)
    assert 0 == rate.prefetch(clock.elapsed())
    rate.note_start(clock.elapsed())
    clock.advance(timedelta(milliseconds=49))
    assert 0 == rate.prefetch(clock.elapsed())


def test_it_is_bounded(clock: FakeClock) -> None:
    """However fast the tasks are, at most 500 may wait."""
    rate = StartRate(LEASE)
    start(rate, clock, 1000, timedelta(milliseconds=0.1))
    assert MOST == rate.prefetch(clock.elapsed())


def test_a_slower_rate_is_followed_within_a_second_or_two(clock: FakeClock) -> None:
    """Tasks that turn out slower bring the number down step by step, not at once."""
    rate = StartRate(LEASE)
    start(rate, clock, 10, timedelta(milliseconds=10))
    assert 100 == rate.prefetch(clock.elapsed())
    seen = []
    for _ in range(20):
        start(rate, clock, 1, timedelta(milliseconds=100))
        seen.append(rate.prefetch(clock.elapsed()))
    assert 50 < seen[0] < 100
    assert seen == sorted(seen, reverse=True)
    assert 10 <= seen[-1] <= 12


def test_a_queue_that_pauses_starts_anew(clock: FakeClock) -> None:
    """After two seconds without a start nothing may wait, and the old rate says nothing any more."""
    rate = StartRate(LEASE)
    start(rate, clock, 10, timedelta(milliseconds=10))
    assert 100 == rate.prefetch(clock.elapsed())
    clock.advance(LATELY)
    assert 0 == rate.prefetch(clock.elapsed())
    start(rate, clock, 2, timedelta(milliseconds=500))
    assert 2 == rate.prefetch(clock.elapsed())
