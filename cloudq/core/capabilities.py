"""`Capabilities`: what one queue of a backend can do by itself, as data. `plan()` emulates the rest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from types import MappingProxyType
from typing import Final

import msgspec

# A third of what a whole operation may take by default, so that one silent call leaves time for two more.
CALL_TIMEOUT: Final = timedelta(seconds=5)


class Cancels(Enum):
    """Which messages can be cancelled; never one that was handed over."""

    NOTHING = "nothing"
    DELAYED = "delayed"
    """Those whose time hasn't come."""
    WAITING = "waiting"
    """Those, and the ones that are ready."""


class Refusal(Enum):
    """What a queue may refuse in words of its driver's own: see `Capabilities.refusals`."""

    SEND = "send"
    """Anything sent to it (`copies` is false)."""
    REDRIVE = "redrive"
    """Its dead letters sent to it again (`copies` is false)."""
    ORDERING_KEY = "ordering_key"
    CANCEL = "cancel"


class Words(msgspec.Struct, frozen=True):
    """How a driver says that a queue refuses something.

    Attributes:
        why: What is the matter. It follows the queue's name: "is a topic's subscription".
        hint: What to do instead.
    """

    why: str
    hint: str


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What one queue of a backend can do natively. Data, so that `plan()` can emulate the rest.

    Attributes:
        max_batch: The most messages stored, settled or extended by one call.
        max_receive: The most deliveries that one receive brings, or `None` if it brings all that it finds.
            Where there is such a bound, receives at once must not wait for one another, and each may bring as many: a
            worker has several under way while one brings less than it starts, but never of an ordered queue.
        max_body: The most bytes in a body that a producer may send. The driver itself stores bodies a little larger
            (16 KiB), so that a dead-letter copy with its details fits (semantics 6), and of copies all that the service
            takes. What it refuses, it reports as `MessageTooLarge` with the `size` and the `limit` that it knows.
        max_batch_bytes: The most bytes of bodies stored by one call, or `None` for no bound.
        max_delay: The longest delay of a new message, or `None` for any. Longer ones hop.
        call_timeout: The longest that one call of a driver's method takes, `receive` apart. Whole operations (a send
            with its retries, say) have three times as long.
        max_lease: The longest lease, all extensions included, or `None` for any.
        chosen_lease: Whether a receive leases for as long as it was asked to. If not, for as long as the queue says.
        extendable: Whether a lease can be extended.
        interruptible: Whether receives under way can be ended without hiding the messages that they were about to bring
            from every worker until the end of a lease.
        fenced_settle: Whether a late settlement is sure to change nothing.
        native_retry_delay: The longest delay of a `Release`, or `None` if a single delivery can't be released at all.
        max_release: The longest delay of a `Release` for what can't be retried by a copy, as it is too large for one;
            `None` for no longer one than `native_retry_delay`.
        attempt_exact: Whether `Delivery.attempt` counts runs as long as no worker dies; otherwise it is an upper bound
            (a dead worker can't say what had begun, so all that it held counts). Where it is true,
            `Release(counted=False)` takes the present delivery's attempt back. Where retries are copies that a backend
            pushes, what it pushes again by itself (after a worker's death, say) is a delivery and no other attempt.
        native_dead_letter: Whether `NativeDeadLetter` is understood. If not, dead letters are copied to `q-dlq`.
        keeps_failures: Whether the driver itself keeps the failure of a `Release` beside the message, where no producer
            can write one. Only then do failures that are kept tell handings-over that ended from those that nobody
            came back from.
        dead_letter_leases: Whether a dead letter that is taken is kept from others until its lease ends. If not, two
            redrives at once make the same copies, and it takes `deduplication` for one of each to be stored.
        ordering: Whether this queue keeps the order of an `ordering_key`.
        fairness: Whether a `fairness_key` has an effect: much of one key doesn't keep those of others waiting. Where
            it hasn't, messages with one are stored all the same; the driver is never given it.
        deduplication: How long a native id is remembered, or `None` if it isn't.
        retention: How long the service keeps a message that nobody settles, or `None` if it says nothing: a repeat may
            come that late, from its dead-letter queue later by as much again.
        cancels: Which messages can be cancelled. More than nothing needs a `Canceller`.
        cancel_notice: A message that is due sooner than this can't be cancelled any more.
        copies: Whether messages can be sent to this queue itself. If not, what needs a copy is released instead.
        shared: Whether other processes see the queue.
        purges_leased: Whether a purge reaches messages under a lease.
        refusals: The driver's own words for what the queue refuses; for what isn't named, the core's words do.
    """

    # Limits
    max_batch: int
    max_body: int
    max_receive: int | None = None
    max_batch_bytes: int | None = None
    max_delay: timedelta | None = None
    call_timeout: timedelta = CALL_TIMEOUT

    # Leases and settling
    max_lease: timedelta | None = None
    chosen_lease: bool = True
    extendable: bool = True
    interruptible: bool = True
    fenced_settle: bool = False
    native_retry_delay: timedelta | None = None
    max_release: timedelta | None = None
    attempt_exact: bool = False

    # Dead letters
    native_dead_letter: bool = False
    keeps_failures: bool = False
    dead_letter_leases: bool = True

    # Order and de-duplication
    ordering: bool = False
    fairness: bool = False
    deduplication: timedelta | None = None
    retention: timedelta | None = None

    # Cancelling
    cancels: Cancels = Cancels.NOTHING
    cancel_notice: timedelta = timedelta(0)

    # What the queue is
    copies: bool = True
    shared: bool = True
    purges_leased: bool = True
    refusals: Mapping[Refusal, Words] = MappingProxyType({})
