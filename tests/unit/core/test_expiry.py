"""What wasn't begun in time isn't begun any more; a clock that is known to be behind doesn't decide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.expiry import Expiry
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Expired
from cloudq.testing.clock import FakeClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LEASE = Lease(queue="q", receipt=1, expires_at=NOW, ends=timedelta(hours=1))


class Task:
    """As much of a task as is asked."""

    def __init__(self, *, dead_letters_expired: bool) -> None:
        self.dead_letters_expired = dead_letters_expired


def delivered(stored_at: datetime | None = None) -> Delivery:
    body = wire.encode(Message(id="1", task="t", queue="q"))
    return replace(Delivery.of(body, native_id="1", runs=1, deliveries=1, lease=LEASE), stored_at=stored_at)


def decide(expires_at: datetime, *, stored_at: datetime | None = None, task: Any = None) -> object:
    return Expiry(FakeClock(NOW)).decide(delivered(stored_at), expires_at, task)


def test_it_may_begin_until_then_and_not_from_then_on() -> None:
    """The moment itself is too late, as CloudEvents has it."""
    assert decide(NOW + timedelta(microseconds=1)) is None
    assert Expired(reason="expired 0 s ago: it was to begin before 2026-01-01T12:00:00+00:00") == decide(NOW)


def test_the_reason_says_since_when() -> None:
    """In whole seconds."""
    expired = decide(NOW - timedelta(minutes=4, seconds=2.5))
    assert Expired(reason="expired 4 min 2 s ago: it was to begin before 2026-01-01T11:55:57+00:00") == expired


@pytest.mark.parametrize(("declared", "expected"), [(True, DeadLettered), (False, Expired)])
def test_its_task_may_have_it_dead_lettered(declared: bool, expected: type) -> None:
    """With the same reason; where the task isn't known nobody asked for that."""
    outcome = decide(NOW, task=Task(dead_letters_expired=declared))
    assert isinstance(outcome, expected)
    assert isinstance(outcome, (DeadLettered, Expired))
    assert outcome.reason.startswith("expired 0 s ago")


def test_a_clock_that_is_behind_its_queues_does_not_decide() -> None:
    """The message was stored at that moment, so it isn't earlier now; when it was stored long ago says nothing."""
    assert isinstance(decide(NOW + SECOND, stored_at=NOW + 2 * SECOND), Expired)
    assert decide(NOW + SECOND, stored_at=NOW - timedelta(days=3)) is None
