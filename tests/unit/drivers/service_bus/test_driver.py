"""What the driver hands over, and whom it tells of a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.exceptions import MessageLockLostError

from cloudq.core.delivery import Lease
from cloudq.core.driver import LeaseWatcher
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.service_bus.links import Step, Taken
from cloudq.drivers.service_bus.receipts import Progress, Receipt
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
        enqueued_time_utc=None,
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


class TooLate:
    """A link whose messages' locks are over."""

    def settle(self, steps: Sequence[Step]) -> list[BaseException | None]:
        return [MessageLockLostError()] * len(steps)

    def renew(self, messages: Sequence[ServiceBusReceivedMessage]) -> list[timedelta | BaseException]:
        return [MessageLockLostError()] * len(messages)

    def watch(self, message: ServiceBusReceivedMessage, lost: Callable[[str], None] | None) -> None:
        pass


@pytest.mark.parametrize(
    ("queue", "progress", "heard"),
    [
        ("mail", Progress.HELD, 1),
        ("mail", Progress.SETTLING, 0),
        ("mail", Progress.OVER, 0),
        ("mail.fifo", Progress.HELD, 0),
    ],
    ids=["held", "being settled", "settled", "of a session"],
)
def test_a_lock_that_ended_before_its_renewal_tells_how_long_locks_last(
    driver: ServiceBusDriver, queue: str, progress: Progress, heard: int
) -> None:
    """Not where its settlement may have ended it, nor where its session's link may have been cut."""
    told: list[None] = []
    span: Any = SimpleNamespace(note_early_end=lambda: told.append(None))
    driver._spans[queue] = span
    receipt = Receipt(TooLate(), message())
    if progress is not Progress.HELD:
        receipt.begin(Progress.SETTLING)
    if progress is Progress.OVER:
        receipt.end(confirmed=True)
    lease = Lease(queue=queue, receipt=receipt, expires_at=datetime.now(UTC), ends=MINUTE)
    (result,) = driver.extend([lease], MINUTE)
    assert result.error is not None
    assert heard == len(told)
