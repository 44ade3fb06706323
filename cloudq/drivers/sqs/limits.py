"""What SQS takes, and so what its queues can do. Needs no SDK."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

from cloudq.core.driver import Capabilities
from cloudq.core.message import is_ordered

MAX_BATCH: Final = 10
MAX_BYTES: Final = 1024 * 1024  # of a message and of a batch, attributes included
# Kept free for a dead letter's details and the names of their attributes (semantics 6).
ROOM: Final = 16 * 1024
MAX_DELAY: Final = timedelta(minutes=15)
# Counted from the receive; extending doesn't start it anew.
MAX_LEASE: Final = timedelta(hours=12)
# A release must still be inside the longest lease when it arrives, or SQS refuses it (semantics 13).
RELEASE_MARGIN: Final = timedelta(seconds=5)
MAX_WAIT: Final = timedelta(seconds=20)
# Longer ones would park messages in flight, of which a queue has 120,000 at most (semantics 13).
NATIVE_RETRY_DELAY: Final = timedelta(seconds=60)
DEDUP_WINDOW: Final = timedelta(minutes=5)
# The longest MessageRetentionPeriod, which queues that cloudq makes have for their dead letters.
RETENTION: Final = timedelta(days=14)

STANDARD: Final = Capabilities(
    max_batch=MAX_BATCH,
    max_receive=MAX_BATCH,
    max_batch_bytes=MAX_BYTES,
    max_body=MAX_BYTES - ROOM,
    max_delay=MAX_DELAY,
    max_lease=MAX_LEASE,
    native_retry_delay=NATIVE_RETRY_DELAY,
    max_release=MAX_LEASE,
    fairness=True,
    interruptible=False,
    retention=RETENTION,
)
FIFO: Final = Capabilities(
    max_batch=MAX_BATCH,
    max_receive=1,  # see `SQSDriver.receive`
    max_batch_bytes=MAX_BYTES,
    max_body=MAX_BYTES - ROOM,
    max_delay=timedelta(0),
    max_lease=MAX_LEASE,
    native_retry_delay=MAX_LEASE,
    ordering=True,
    deduplication=DEDUP_WINDOW,
    fenced_settle=True,
    interruptible=False,
    retention=RETENTION,
)


def capabilities(queue: str) -> Capabilities:
    """What a queue can do; its name says which kind it is."""
    return FIFO if is_ordered(queue) else STANDARD


def seconds_up(span: timedelta) -> int:
    """Whole seconds, not fewer than `span`: SQS knows no parts of a second."""
    return max(0, math.ceil(span.total_seconds()))


def seconds_down(span: timedelta) -> int:
    """Whole seconds, not more than `span`."""
    return max(0, math.floor(span.total_seconds()))
