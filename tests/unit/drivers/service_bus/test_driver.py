"""What the driver hands over, and whom it tells of a loss."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from cloudq.core.delivery import Lease
from cloudq.core.driver import LeaseWatcher
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.service_bus.links import Taken
from cloudq.drivers.service_bus.receipts import Receipt
from cloudq.testing.clock import FakeClock

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def driver(clock: FakeClock) -> ServiceBusDriver:
    return ServiceBusDriver("example.servicebus.windows.net", clock=clock)


def message() -> Any:
    return SimpleNamespace(
        body=b"{}",
        message_id="id",
        sequence_number=1,
        delivery_count=0,
        session_id=None,
        application_properties={},
    )


def test_what_is_over_is_not_handed_over(driver: ServiceBusDriver, clock: FakeClock) -> None:
    """It lay here while the machine slept; the service has it for somebody else."""
    clock.advance(2 * MINUTE)
    now = clock.elapsed()
    holder: Any = object()
    taken = [(holder, Taken(message(), ends)) for ends in (now - MINUTE, now, None, now + MINUTE)]
    (delivery,) = driver._deliveries("mail", taken)
    assert (now + MINUTE, clock.now() + MINUTE) == (delivery.lease.ends, delivery.lease.expires_at)


def test_a_loss_is_watched_where_the_lock_is(driver: ServiceBusDriver) -> None:
    """By whatever the message came by; a lease of another driver's isn't its business."""
    assert isinstance(driver, LeaseWatcher)
    watched: list[Any] = []
    holder: Any = SimpleNamespace(watch=lambda *arguments: watched.append(arguments))
    one: Any = message()
    now = datetime.now(UTC)
    driver.watch(Lease(queue="mail", receipt=Receipt(holder, one), expires_at=now, ends=timedelta(0)), print)
    driver.watch(Lease(queue="mail", receipt="another's", expires_at=now, ends=timedelta(0)), print)
    assert [(one, print)] == watched


def test_a_lease_by_its_token_ends_as_it_was_told(driver: ServiceBusDriver, clock: FakeClock) -> None:
    """By the clock that can't be set."""
    lease = driver.lease_by_token("mail", UUID(int=1), expires_at=clock.now() + MINUTE)
    clock.step(timedelta(hours=1))
    assert clock.elapsed() + MINUTE == lease.ends
