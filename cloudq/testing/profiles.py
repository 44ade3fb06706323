"""What other backends can and can't do, for `MemoryDriver(capabilities=...)`: tests of emulations without a cloud.

The figures are the services' documented limits; the services themselves differ in more than that.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from cloudq.core.driver import Cancels, Capabilities
from cloudq.core.message import is_ordered
from cloudq.errors import UnsupportedError

KIB: Final = 1024
# What a driver keeps free of the service's own limit for a dead letter's details (semantics 6).
ROOM: Final = 16 * KIB


def sqs_like(queue: str) -> Capabilities:
    """A standard queue of Amazon SQS; of a `.fifo` name, `sqs_fifo_like`."""
    if is_ordered(queue):
        return sqs_fifo_like(queue)
    return Capabilities(
        max_batch=10,
        max_receive=10,
        max_batch_bytes=1024 * KIB,
        max_body=1024 * KIB - ROOM,
        max_delay=timedelta(minutes=15),
        max_lease=timedelta(hours=12),
        native_retry_delay=timedelta(seconds=60),
        retention=timedelta(days=14),
        fairness=True,
        interruptible=False,
    )


def sqs_fifo_like(queue: str) -> Capabilities:
    """A FIFO queue of Amazon SQS: ordered, de-duplicating, no delay of a single message."""
    return Capabilities(
        max_batch=10,
        max_receive=1,
        max_batch_bytes=1024 * KIB,
        max_body=1024 * KIB - ROOM,
        max_delay=timedelta(0),
        max_lease=timedelta(hours=12),
        native_retry_delay=timedelta(hours=12),
        ordering=is_ordered(queue),
        deduplication=timedelta(minutes=5),
        retention=timedelta(days=14),
        fenced_settle=True,
        interruptible=False,
    )


def cloud_tasks_like(queue: str) -> Capabilities:
    """A queue of Google Cloud Tasks, as if it could be polled: no release with a delay, no dead letters, no order."""
    if is_ordered(queue):
        raise UnsupportedError(f"queue {queue!r} would keep an order, which Cloud Tasks can't")
    return Capabilities(
        max_batch=100,
        max_body=100 * KIB - ROOM,
        max_delay=timedelta(days=30),
        max_lease=timedelta(minutes=30),
        extendable=False,
        native_retry_delay=None,
        deduplication=timedelta(hours=24),
        retention=timedelta(days=31),
        cancels=Cancels.DELAYED,
        cancel_notice=timedelta(seconds=15),
    )


def service_bus_like(queue: str) -> Capabilities:
    """A queue of Azure Service Bus with duplicate detection; with sessions, of a `.fifo` name."""
    return Capabilities(
        max_batch=100,
        max_batch_bytes=256 * KIB,
        max_body=256 * KIB - ROOM,
        native_dead_letter=True,
        native_retry_delay=timedelta(0),
        ordering=is_ordered(queue),
        deduplication=timedelta(minutes=10),
        cancels=Cancels.NOTHING if is_ordered(queue) else Cancels.DELAYED,
        fenced_settle=True,
    )
