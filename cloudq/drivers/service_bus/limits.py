"""What Service Bus takes, and so what its queues can do. Needs no SDK.

Figures from "Azure Service Bus quotas" (learn.microsoft.com, read 2026-11).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from cloudq.core.driver import Cancels, Capabilities, Refusal, Words
from cloudq.core.message import is_ordered

KIB: Final = 1024
# The Standard tier's largest message; Premium's is larger, up to 100 MB, where the queue says so.
MAX_MESSAGE: Final = 256 * KIB
# Kept free for a dead letter's details (semantics 6).
ROOM: Final = 16 * KIB
# What the message's own sections take besides the body: header, annotations, properties.
OVERHEAD: Final = 1 * KIB
MAX_BATCH: Final = 100
# The longest lock that a queue can have. It is renewed to the queue's own, again and again.
MAX_LOCK: Final = timedelta(minutes=5)
# The shortest that a queue can have ("Message transfers, locks, and settlement", learn.microsoft.com).
MIN_LOCK: Final = timedelta(seconds=5)
# How long a session, or a subscription's message, is held for a retry: an abandon has no delay (semantics 17).
MAX_HOLD: Final = timedelta(seconds=60)
# How long a whole operation may take, tries again included, and how many calls of the driver have room in it.
TIMEOUT: Final = timedelta(seconds=15)
CALLS: Final = 3
# Of a reason and of a description.
MAX_REASON: Final = 4_096

_NOT_SENT_TO: Final = "is a topic's subscription: nothing can be sent there by itself"
_SUBSCRIPTION_REFUSES: Final = {
    Refusal.SEND: Words(_NOT_SENT_TO, hint="send to its topic"),
    Refusal.REDRIVE: Words(
        _NOT_SENT_TO, hint="have the service's own tool move its dead letters, or send to the topic again"
    ),
}


def is_subscription(queue: str) -> bool:
    """Whether a queue's name is that of a topic's subscription, `topic/Subscriptions/name`."""
    return "/subscriptions/" in queue.lower()


def capabilities(
    queue: str,
    *,
    max_message: int,
    dedup_window: timedelta | None,
    max_hold: timedelta = MAX_HOLD,
    timeout: timedelta = TIMEOUT,
) -> Capabilities:
    """What a queue can do; its name says whether it has sessions, and whether it is a subscription."""
    ordered, subscription = is_ordered(queue), is_subscription(queue)
    return Capabilities(
        max_batch=MAX_BATCH,
        max_batch_bytes=max_message,
        max_body=max_message - ROOM - OVERHEAD,
        native_dead_letter=True,
        native_retry_delay=max_hold if ordered or subscription else timedelta(0),
        ordering=ordered,
        deduplication=dedup_window,
        attempt_exact=True,
        fenced_settle=True,
        call_timeout=timeout / CALLS,
        copies=not subscription,
        chosen_lease=False,
        purges_leased=False,
        cancels=Cancels.NOTHING if subscription or ordered else Cancels.DELAYED,
        refusals=_SUBSCRIPTION_REFUSES if subscription else {},
    )
