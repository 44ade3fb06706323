"""A message whose time hasn't come goes on, unless that is too far away; a clock that is behind decides nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.due_times import DueTimes
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Snoozed, Why
from cloudq.testing.clock import FakeClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
LEASE = Lease(queue="q", receipt=1, expires_at=NOW, ends=HOUR)


def delivered(stored_at: datetime | None = None) -> Delivery:
    body = wire.encode(Message(id="1", task="t", queue="q"))
    return replace(Delivery.of(body, native_id="1", runs=1, deliveries=1, lease=LEASE), stored_at=stored_at)


def test_what_is_due_is_run() -> None:
    """A second's difference between two clocks is none."""
    times = DueTimes(400 * DAY, FakeClock(NOW))
    assert times.decide(delivered(), NOW + timedelta(seconds=1)) is None
    expected = Snoozed(delay=timedelta(seconds=2), why=Why.NOT_DUE, reason="not due yet")
    assert expected == times.decide(delivered(), NOW + timedelta(seconds=2))


def test_the_horizon() -> None:
    """What comes from a machine whose clock is a little ahead isn't refused; a day more is."""
    times = DueTimes(400 * DAY, FakeClock(NOW))
    assert isinstance(times.decide(delivered(), NOW + 400 * DAY + timedelta(minutes=5)), Snoozed)
    assert isinstance(times.decide(delivered(), NOW + 401 * DAY), DeadLettered)


def test_the_horizon_begins_at_the_later_of_two_clocks() -> None:
    """The service stored it at that moment, so it isn't earlier now; what it was long ago says nothing."""
    times = DueTimes(400 * DAY, FakeClock(NOW))
    due = NOW + 400 * DAY + timedelta(minutes=12)
    assert isinstance(times.decide(delivered(), due), DeadLettered)
    assert isinstance(times.decide(delivered(NOW + timedelta(minutes=4)), due), Snoozed)
    assert isinstance(times.decide(delivered(NOW - 30 * DAY), due), DeadLettered)


def test_a_clock_that_is_behind_decides_nothing_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """By more than five minutes: it goes back for others, uncounted and due when it was; told now and then."""
    clock = FakeClock(NOW)
    times = DueTimes(400 * DAY, clock)
    for _ in range(3):
        outcome = times.decide(delivered(NOW + 900 * DAY), NOW + 901 * DAY)
        reason = "this worker's clock is behind its queue's"
        assert Snoozed(delay=901 * DAY, why=Why.NOT_DUE, reason=reason) == outcome
    assert 1 == len(caplog.messages)
    assert "this machine's clock says 2026-01-01T12:00:00+00:00" in caplog.text
    clock.advance(timedelta(minutes=5))
    times.decide(delivered(NOW + 900 * DAY), NOW + 901 * DAY)
    assert 2 == len(caplog.messages)
