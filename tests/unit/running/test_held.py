"""A delivery in hand: its lease is a span that a clock which is set doesn't change."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.delivery import Delivery
from cloudq.running.held import HeldLease
from cloudq.testing.clock import FakeClock
from tests.unit.worker.fakes import delivery

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> FakeClock:
    clock = FakeClock()
    clock.advance(MINUTE)
    clock.step(timedelta(days=1))
    return clock


def leased(clock: FakeClock, **lease: timedelta) -> Delivery:
    one = delivery(clock)
    return replace(one, lease=replace(one.lease, **lease))


def test_its_end_is_the_leases(clock: FakeClock) -> None:
    """What the driver counted from before its call is what holds, not what is left when the delivery arrives."""
    held = HeldLease(leased(clock, ends=3 * MINUTE, hard_end=9 * MINUTE), clock.elapsed(), extendable=True)
    assert (3 * MINUTE, 9 * MINUTE, MINUTE) == (held.ends, held.life.hard_end, held.since)
    assert 2 * MINUTE == held.life.extend_at


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_that_is_set_changes_nothing(clock: FakeClock, step: timedelta) -> None:
    """Set forwards or backwards, the lease is over when its span is, neither earlier nor later."""
    held = HeldLease(leased(clock, ends=3 * MINUTE), clock.elapsed(), extendable=True)
    clock.step(step)
    assert not held.over(clock.elapsed())
    clock.advance(2 * MINUTE - timedelta(seconds=1))
    assert not held.over(clock.elapsed())
    clock.advance(timedelta(seconds=1))
    assert held.over(clock.elapsed())


def test_the_time_asleep_counts(clock: FakeClock) -> None:
    """A machine that slept beyond the lease finds it over."""
    held = HeldLease(leased(clock, ends=3 * MINUTE), clock.elapsed(), extendable=True)
    clock.suspend(2 * MINUTE)
    assert held.over(clock.elapsed())


def test_what_cant_be_extended_isnt_planned_to_be(clock: FakeClock) -> None:
    """Its end is the next thing to look at."""
    held = HeldLease(leased(clock, ends=3 * MINUTE), clock.elapsed(), extendable=False)
    assert held.life.extend_at is None
    assert 3 * MINUTE == held.life.next_look
