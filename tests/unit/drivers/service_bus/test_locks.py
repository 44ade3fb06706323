"""When a lock ends, whatever the clocks say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.drivers.service_bus.limits import MIN_LOCK
from cloudq.drivers.service_bus.locks import LockSpan
from cloudq.testing.clock import FakeClock

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
ZERO = timedelta(0)


def left(span: LockSpan, clock: FakeClock, *, skew: timedelta = ZERO, ago: timedelta = ZERO) -> timedelta:
    """How long a lock of a minute that was granted some time ago still holds, as the span has it.

    Args:
        skew: How far this machine's clock is ahead of the service's.
        ago: When it was granted.
    """
    moment = clock.now() - skew - ago + MINUTE
    return span.ends(clock.elapsed() - ago, moment) - clock.elapsed()


def test_a_lock_lasts_as_long_as_the_service_says() -> None:
    """Clocks that agree: the moment is right, and no later than the duration that it was learnt from."""
    clock = FakeClock()
    span = LockSpan(clock)
    assert MINUTE == left(span, clock)
    assert MINUTE / 2 == left(span, clock, ago=MINUTE / 2)


@pytest.mark.parametrize("told", [None, MINUTE], ids=["learnt", "told"])
@pytest.mark.parametrize("step", [HOUR, -HOUR, timedelta(seconds=-5)], ids=["1 h ahead", "1 h behind", "5 s behind"])
def test_a_clock_that_is_set_changes_no_lock(step: timedelta, told: timedelta | None) -> None:
    """Granted before or after the step, a lock lasts as long as those before."""
    clock = FakeClock()
    span = LockSpan(clock, told)
    granted = span.ends(clock.elapsed(), clock.now() + MINUTE)
    clock.step(step)
    assert MINUTE == granted - clock.elapsed()
    assert MINUTE == left(span, clock, skew=step)


def test_a_clock_that_is_a_little_ahead_ends_a_lock_early() -> None:
    """It can't be told from a lock that is as old: the lesser counts."""
    clock = FakeClock()
    span = LockSpan(clock, MINUTE)
    assert MINUTE - timedelta(seconds=5) == left(span, clock, skew=timedelta(seconds=5))


def test_a_clock_that_was_wrong_from_the_beginning() -> None:
    """Nothing can be learnt from it: as long as the shortest lock there is, it holds in any case."""
    clock = FakeClock()
    assert MIN_LOCK == left(LockSpan(clock), clock, skew=HOUR)
    assert MIN_LOCK == left(LockSpan(clock), clock, skew=-HOUR)
    assert MINUTE == left(LockSpan(clock, MINUTE), clock, skew=-HOUR)


@pytest.mark.parametrize("made", [-HOUR, timedelta(seconds=-5), ZERO], ids=["1 h behind", "5 s behind", "right"])
@pytest.mark.parametrize("first", [-HOUR, timedelta(seconds=-5), ZERO], ids=["1 h behind", "5 s behind", "right"])
def test_a_clock_that_was_right_once(made: timedelta, first: timedelta) -> None:
    """As the driver was made, at the first grant, or later: from then on the duration is known, whatever it shows."""
    clock = FakeClock()
    clock.step(made)
    span = LockSpan(clock)
    clock.step(first - made)
    believed = left(span, clock, skew=first)
    if ZERO in (made, first):
        assert MINUTE == believed
    clock.step(-first)
    assert MINUTE == left(span, clock)
    clock.step(-HOUR)
    assert MINUTE == left(span, clock, skew=-HOUR)


def test_a_clock_that_is_always_behind() -> None:
    """A lock that is over before it is renewed tells, once for all of its time: then each is renewed in time."""
    clock, behind = FakeClock(), timedelta(minutes=2)
    clock.step(-behind)
    span = LockSpan(clock)
    assert MINUTE + behind == left(span, clock, skew=-behind)
    clock.advance((MINUTE + behind) / 2)
    span.note_early_end()
    span.note_early_end()
    assert (MINUTE + behind) / 2 == left(span, clock, skew=-behind)
    clock.advance(MINUTE + behind)
    for _ in range(10):
        span.note_early_end()
        clock.advance(MINUTE)
    assert MIN_LOCK == left(span, clock, skew=-behind), "no lock is shorter"


@pytest.mark.parametrize("told", [None, MINUTE], ids=["learnt", "told"])
def test_an_early_end_changes_nothing_where_nothing_was_learnt(told: timedelta | None) -> None:
    """What somebody told counts, and the shortest lock stays the shortest."""
    clock = FakeClock()
    clock.step(-HOUR)
    span = LockSpan(clock, told)
    before = left(span, clock, skew=-HOUR)
    span.note_early_end()
    assert before == left(span, clock, skew=-HOUR) == (told or MIN_LOCK)


def test_a_clock_that_is_nearly_a_lock_ahead_for_a_while() -> None:
    """What it makes of a grant is no duration: once it is right again locks last as long as they do."""
    clock = FakeClock()
    span = LockSpan(clock)
    clock.step(MINUTE - timedelta(milliseconds=10))
    left(span, clock, skew=MINUTE - timedelta(milliseconds=10))
    clock.step(timedelta(milliseconds=10) - MINUTE)
    assert MINUTE == left(span, clock)


def test_what_was_read_late_says_nothing_of_the_duration() -> None:
    """A lock that was half over when its message was read is no shorter than others."""
    clock = FakeClock()
    span = LockSpan(clock)
    left(span, clock, ago=MINUTE / 2)
    assert MINUTE == left(span, clock)


def test_a_message_tells_how_long_its_lock_can_last() -> None:
    """No lock is older than its message: both moments are the service's, so that its clock doesn't matter."""
    clock = FakeClock()
    span = LockSpan(clock)
    behind = timedelta(minutes=2)
    stored_at = clock.now() + behind
    span.ends(clock.elapsed(), stored_at + MINUTE, stored_at=stored_at)
    assert MINUTE == left(span, clock, skew=-behind)


def test_a_lock_is_counted_from_before_its_grant() -> None:
    """What lay in the socket while the process stood still is over, though its moment says nothing to this clock."""
    clock = FakeClock()
    span = LockSpan(clock, MINUTE)
    since, moment = clock.elapsed(), clock.now() + HOUR + MINUTE
    clock.advance(2 * MINUTE)
    assert span.ends(since, moment) < clock.elapsed()


def test_a_lock_whose_end_is_not_said() -> None:
    """It lasts as long as the others of its queue."""
    clock = FakeClock()
    span = LockSpan(clock, MINUTE)
    assert clock.elapsed() + MINUTE == span.ends(clock.elapsed(), None)
