"""Details: what only the delivery knows is filled in, and a text of somebody else's gets its bounds."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta

from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.details import Details, worker_name
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, DeadLettered, Snoozed
from cloudq.testing.clock import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def delivery() -> Delivery:
    message = Message(id="id-1", task="t", queue="q", sent_at=NOW, generation=3)
    lease = Lease(queue="q", receipt=None, expires_at=NOW, ends=timedelta(minutes=2))
    return Delivery.of(wire.encode(message), native_id="n-1", runs=2, deliveries=4, lease=lease)


def test_counts_times_and_the_worker_are_filled_in() -> None:
    """For a dead letter, and for what only waits."""
    details = Details(FakeClock(NOW))
    dead = details.dead(delivery(), "poison")
    assert isinstance(dead, DeadLettered)
    failure = dead.failure
    assert (failure.attempts, failure.deliveries, failure.generation) == (2, 4, 3)
    assert (failure.first_at, failure.last_at, failure.worker) == (NOW, NOW, worker_name())
    asleep = details.of(delivery(), Snoozed(delay=timedelta(1), reason="x", failure=Failure(reason="x")))
    assert isinstance(asleep, Snoozed)
    assert asleep.failure is not None
    assert asleep.failure.worker == worker_name() == f"{socket.gethostname()}:{os.getpid()}"


def test_what_went_well_and_what_has_no_details_gets_none() -> None:
    """But a reason is held to its bounds."""
    details = Details(FakeClock(NOW))
    assert details.of(delivery(), ACKED) is ACKED
    bounded = details.of(delivery(), Snoozed(delay=timedelta(1), reason="x" * 5000))
    assert isinstance(bounded, Snoozed)
    assert (len(bounded.reason), bounded.failure) == (1000, None)
