"""The driver contract: what a backend must do to carry cloudq. These docstrings ARE the contract.

A driver is mechanism only: it translates and reports. It doesn't sleep between tries, doesn't retry beyond what its
SDK does, and decides nothing. Each sentence here is a behaviour of `cloudq.testing.conformance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.message import Message


class Settlement(Enum):
    """How the edge that a delivery came through tells the backend what became of it."""

    CALL = "call"
    """By a call: `PullDriver.settle`."""
    RESPONSE = "response"
    """By the answer to the push."""
    PER_ITEM_RESPONSE = "per_item_response"
    """By an answer that lists the failed items of a batch."""
    ALL_OR_NOTHING = "all_or_nothing"
    """By succeeding or failing for the batch as a whole."""


class Cancels(Enum):
    """Which messages can be cancelled; never one that was handed over."""

    NOTHING = "nothing"
    DELAYED = "delayed"
    """Those whose time hasn't come."""
    WAITING = "waiting"
    """Those, and the ones that are ready."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What one queue of a backend can do natively. Data, so that `plan()` can emulate the rest.

    Attributes:
        max_batch: The most messages stored, settled or extended by one call.
        max_batch_bytes: The most bytes of bodies stored by one call, or `None` for no bound.
        max_body: The most bytes in a body that a producer may send. The driver itself stores bodies a little larger
            (16 KiB), so that a dead-letter copy with its details always fits (semantics 6).
        max_delay: The longest delay of a new message, or `None` for any. Longer ones hop.
        max_lease: The longest lease, all extensions included, or `None` for any.
        extendable: Whether a lease can be extended.
        native_dead_letter: Whether `NativeDeadLetter` is understood. If not, dead letters are copied to `q-dlq`.
        native_retry_delay: The longest delay of a `Release`, or `None` if a single delivery can't be released at all.
        copies: Whether messages can be sent to this queue itself. If not, what would take a copy is released instead.
        ordering: Whether this queue keeps the order of an `ordering_key`.
        fairness: Whether a `fairness_key` has an effect.
        deduplication: How long a native id is remembered, or `None` if it isn't.
        attempt_exact: Whether `Delivery.attempt` counts runs as long as no worker dies; otherwise it is an upper bound
            (a dead worker can't say what had begun, so all that it held counts). Where it is true,
            `Release(counted=False)` takes the present delivery's attempt back. Where retries are copies that a backend
            pushes, what it pushes again by itself (after a worker's death, say) is a delivery and no other attempt.
        fenced_settle: Whether a late settlement is certain to change nothing.
        settlement: How settlements reach the backend; narrowed by the edge.
        chosen_lease: Whether a receive leases for as long as it was asked to. If not, for as long as the queue says.
        purges_leased: Whether a purge reaches messages under a lease.
        dead_letter_leases: Whether a dead letter that is taken is kept from others until its lease ends. If not, two
            redrives at once make the same copies, and it takes `deduplication` for one of each to be stored.
        cancels: Which messages can be cancelled. More than nothing needs a `Canceller`.
        cancel_notice: What is due sooner than this can't be cancelled any more.
    """

    max_batch: int
    max_body: int
    max_batch_bytes: int | None = None
    max_delay: timedelta | None = None
    max_lease: timedelta | None = None
    extendable: bool = True
    native_dead_letter: bool = False
    native_retry_delay: timedelta | None = None
    copies: bool = True
    ordering: bool = False
    fairness: bool = False
    deduplication: timedelta | None = None
    attempt_exact: bool = False
    fenced_settle: bool = False
    settlement: Settlement = Settlement.CALL
    chosen_lease: bool = True
    purges_leased: bool = True
    dead_letter_leases: bool = True
    cancels: Cancels = Cancels.NOTHING
    cancel_notice: timedelta = timedelta(0)


# ── what goes out ────────────────────────────────────────────────────────────────────────────────────────


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One body to be stored in a queue.

    Attributes:
        id: The message's id.
        queue: The queue to store it in.
        body: The bytes to store, unchanged.
        delay: Hidden for this long; never more than `Capabilities.max_delay`.
        native_id: The name to de-duplicate it by, or `None` for no de-duplication.
        ordering_key: On an ordered queue, the key whose order it joins; never given elsewhere.
        fairness_key: The key to share capacity by; never given where `Capabilities.fairness` is false.
        failure: To be kept beside the body, where the backend has room beside it.
        time_limit: How long a run of it may take, where a backend that pushes has to know how long to wait; never more
            than `Capabilities.max_lease` where leases can't be extended. `None` where nobody said.
        cancellable: Whether its sender is to be able to cancel it, where the backend can. No copy is.
    """

    id: str
    queue: str
    body: bytes
    delay: timedelta = timedelta(0)
    native_id: str | None = None
    ordering_key: str | None = None
    fairness_key: str | None = None
    failure: Failure | None = None
    time_limit: timedelta | None = None
    cancellable: bool = False

    def __repr__(self) -> str:
        """Without the body, which may hold what no log should."""
        return f"Outgoing(id={self.id!r}, queue={self.queue!r}, bytes={len(self.body)})"


class SendResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one `Outgoing`.

    Attributes:
        error: Why it was not stored, or `None` if it was (or had been before).
        duplicate: Whether its native id was known, so that nothing new was stored; `None` if the backend doesn't say.
        original_id: For a duplicate, the id of the message that was stored first, where the backend says.
        handle: What cancels it (see `Canceller`), or `None` where it can't be cancelled or wasn't to be.
    """

    error: Exception | None = None
    duplicate: bool | None = None
    original_id: str | None = None
    handle: str | None = None


# ── what is settled ──────────────────────────────────────────────────────────────────────────────────────


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """Delete the message."""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Give the lease back: the message is handed over again, to anyone.

    Attributes:
        delay: After this long; never more than `Capabilities.native_retry_delay`.
        counted: Whether the delivery used up an attempt (see `Capabilities.attempt_exact`).
        failure: To be kept beside the message, where the backend has room beside it.
    """

    delay: timedelta = timedelta(0)
    counted: bool = True
    failure: Failure | None = None


class NativeDeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Move the message to the backend's own dead-letter queue, body unchanged, with these details beside it."""

    failure: Failure


FinalStep: TypeAlias = Ack | Release | NativeDeadLetter


class Final(msgspec.Struct, frozen=True, kw_only=True):
    """The last step of a delivery: what is to become of the message that `lease` is for."""

    lease: Lease
    step: FinalStep


class SettleResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one `Final`: `error` is `None` (confirmed), a `LeaseLost`, or a `BackendError`."""

    error: Exception | None = None


class ExtendResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one extension.

    Attributes:
        expires_at: When the lease ends now, as granted (which may be less than was asked for), or `None` on error.
        error: `None`, a `LeaseLost`, or a `BackendError`.
    """

    expires_at: datetime | None = None
    error: Exception | None = None


# ── what is looked at ────────────────────────────────────────────────────────────────────────────────────


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """How full a queue is. `None` where the backend doesn't say.

    Attributes:
        ready: Messages that a receive could return, or that wait only for an earlier one of their ordering key; and, of
            a backend that doesn't tell them apart and so says no `in_flight`, those under a lease.
        delayed: Messages whose time hasn't come.
        in_flight: Messages under a lease.
        dead: Messages in the dead-letter queue.
        oldest_age: How long the oldest ready message has been ready.
    """

    ready: int | None = None
    delayed: int | None = None
    in_flight: int | None = None
    dead: int | None = None
    oldest_age: timedelta | None = None


class DeadMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter, looked at without being taken.

    Attributes:
        key: The backend's handle of it, which `DeadLetterQueue` takes; also the place to list on from.
        id: The message's id, or the backend's own where the body can't be decoded.
        queue: The queue that it died in.
        body: The original bytes.
        message: What the body says, or `None` where it can't be decoded.
        failure: Why it is here, or `None` where the backend put it here by itself.
        dead_at: Since when it is here, or `None` where the backend doesn't say.
    """

    key: str
    id: str
    queue: str
    body: bytes
    message: Message | None
    failure: Failure | None
    dead_at: datetime | None = None


class DeadLetterQueue(Protocol):
    """The dead letters of one queue."""

    def peek(self, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        """Up to `limit` dead letters, oldest first, from behind the one whose `key` is `after`; takes nothing."""
        ...

    def get(self, key: str) -> DeadMessage | None:
        """The dead letter of that key, or `None` if there is none (any more); takes nothing."""
        ...

    def take(self, keys: Sequence[str] | None, *, limit: int, lease: timedelta) -> Sequence[Delivery]:
        """Leases up to `limit` dead letters, those of `keys` or (`None`) the oldest, so that nobody else takes them.

        What isn't settled in time is in the dead-letter queue as before. Its `Delivery.failure` says why it died.
        """
        ...

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        """As `PullDriver.settle`: `Ack` deletes a dead letter, `Release` leaves it."""
        ...

    def purge(self, keys: Sequence[str] | None) -> int:
        """Deletes the dead letters of `keys`, or (`None`) all. Returns how many there were."""
        ...


# ── the drivers ──────────────────────────────────────────────────────────────────────────────────────────


class Driver(Protocol):
    """What every backend can do. All methods may be called from several threads at once."""

    def capabilities(self, queue: str) -> Capabilities:
        """What `queue` can do. Pure: no call to the backend."""
        ...

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Stores each body durably, before it returns, and reports each in order. Never raises for one item.

        All are for one queue, at most `max_batch` and `max_batch_bytes`. A body with a known native id isn't stored
        again. A queue that doesn't exist is a `QueueNotFound` (where queues aren't made by the first send).
        """
        ...

    def stats(self, queue: str) -> QueueStats:
        """How full the queue is."""
        ...

    def purge(self, queue: str) -> int | None:
        """Deletes all messages, those under a lease too (`Capabilities.purges_leased`), but no dead letter.

        Returns how many, where known.
        """
        ...

    def dead_letters(self, queue: str) -> DeadLetterQueue:
        """The dead letters of `queue` (not of `q-dlq`). No call to the backend."""
        ...

    def close(self) -> None:
        """Frees what it holds; a receive under way returns. Messages under a lease stay so until it expires."""
        ...


class PullDriver(Driver, Protocol):
    """A backend that is polled."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """Leases up to `limit` messages to the caller alone; waits up to `wait` for the first, never hot.

        The lease is counted from before the backend handed the message over. A body that can't be decoded is handed
        over like any other. On an ordered queue at most one message of a key is leased at a time, in their order.
        Returns nothing once the driver is closed.
        """
        ...

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        """Carries out each step and reports each in order. Never raises for one item.

        A lease that is over is *reported* as `LeaseLost`; where `fenced_settle` is true, nothing was changed.
        """
        ...

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        """Makes each lease end `by` from now and reports what was GRANTED, in order; a lost one is `LeaseLost`."""
        ...

    def interrupt(self) -> None:
        """Makes receives under way return soon, where the client can; they may still bring messages.

        A later receive waits as usual.
        """
        ...


@runtime_checkable
class QueueMaker(Protocol):
    """What a driver may do besides: make queues, where the first send makes none. For development."""

    def make_queue(self, queue: str) -> bool:
        """Makes `queue` and its dead-letter queue, if they aren't there. Returns whether `queue` was made.

        What is there stays as it is.
        """
        ...


@runtime_checkable
class QueueChecker(Protocol):
    """What a driver may do besides: say what is wrong with a queue that somebody else made. By control calls."""

    def check_queue(self, queue: str) -> Sequence[str]:
        """What is wrong with `queue`, or with its dead-letter queue, in words; nothing if all is well."""
        ...


@runtime_checkable
class Canceller(Protocol):
    """What a driver may do besides: take back what nobody was handed."""

    def cancel(self, queue: str, handle: str) -> bool:
        """Deletes the message that a send gave the handle for. `True`: it was there, and nobody will be handed it.

        `False`: nothing was changed, as it is gone (done, dead, copied, cancelled) or under way: it was handed over, or
        may be at this moment. What was only released unstarted may be either. The next message of its ordering key
        may come. Its native id stays known.

        Raises:
            ValueError: The handle is none of this driver's, or of another place than this driver's.
        """
        ...
