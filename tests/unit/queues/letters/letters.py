"""Dead letters to look at, and a queue of the memory driver with some."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import DeadMessage, Final, Outgoing
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered
from cloudq.core.plan import plan
from cloudq.drivers.memory import MemoryDriver
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.testing import FakeClock

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LEASE = timedelta(minutes=5)


def a_message(**fields: Any) -> Message:
    return Message(**{"id": "m", "task": "shop.welcome", "queue": "q", "sent_at": NOW, **fields})


def a_failure(**fields: Any) -> Failure:
    return Failure(
        **{
            "reason": "gave up after 5 attempts: SMTPServerDisconnected: Connection to 10.0.0.1 timed out",
            "error_type": "smtplib.SMTPServerDisconnected",
            "error_message": "Connection to 10.0.0.1 timed out",
            "traceback": 'File "shop.py", line 9, in welcome',
            "attempts": 5,
            "last_at": NOW,
            **fields,
        }
    )


def a_letter(
    message: Message | None = None, failure: Failure | None = None, *, body: bytes | None = None, **fields: Any
) -> DeadMessage:
    message = a_message() if message is None and body is None else message
    return DeadMessage(
        **{
            "key": "7",
            "id": "m",
            "queue": "q",
            "body": wire.encode(message) if body is None and message is not None else body,
            "message": message,
            "failure": a_failure() if failure is None else failure,
            "dead_at": NOW,
            **fields,
        }
    )


def taken(body: bytes, *, queue: str = "q", **fields: Any) -> Delivery:
    """As a dead-letter queue hands it over."""
    lease = Lease(queue=queue, receipt=None, ends=LEASE, expires_at=NOW)
    return Delivery.of(body, native_id="native", runs=1, deliveries=1, lease=lease, **fields)


def a_queue(**options: Any) -> tuple[CloudQueue, MemoryDriver, FakeClock]:
    """An empty queue; what it can do may be said."""
    clock = FakeClock()
    driver = MemoryDriver(clock=clock, capabilities=options.pop("capabilities", None))
    return CloudQueue(options.pop("name", "q"), driver, clock=clock, **options), driver, clock


def bury(
    driver: MemoryDriver, clock: FakeClock, *bodies: bytes, queue: str = "q", failure: Failure | None = None
) -> None:
    """Has the bodies die, one after the other."""
    for number, body in enumerate(bodies):
        driver.send([Outgoing(id=str(number), queue=queue, body=body)])
        for delivery in driver.receive(queue, limit=1, wait=timedelta(0), lease=LEASE):
            outcome = DeadLettered(reason="dead", failure=failure or a_failure())
            carried = plan(delivery, outcome, driver.capabilities(queue), clock.now())
            if carried.copies:
                driver.send(carried.copies)
            driver.settle([Final(lease=delivery.lease, step=carried.final)])


def received(driver: MemoryDriver, queue: str = "q") -> list[Delivery]:
    return list(driver.receive(queue, limit=1000, wait=timedelta(0), lease=LEASE))
