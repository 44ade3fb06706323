"""The driver contract: what a backend must do to carry cloudq. These docstrings ARE the contract.

A driver is mechanism only: it translates and reports. It must not sleep between tries, retry beyond what its SDK does,
or decide anything, since the core does. Each sentence here is a behaviour of `cloudq.testing.conformance`.

The values that it takes and returns live beside it (`capabilities`, `steps`, `inspection`, `queue_settings`, `push`,
`moving`) and can all be imported from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeGuard, runtime_checkable

from cloudq.core.capabilities import Cancels, Capabilities, Refusal, Words
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.inspection import DeadMessage, QueueStats
from cloudq.core.moving import MoveProgress, MoveState
from cloudq.core.push import PushRequest, PushResponse
from cloudq.core.queue_settings import QueueSettings
from cloudq.core.steps import (
    Ack,
    ExtendResult,
    Final,
    FinalStep,
    NativeDeadLetter,
    Outgoing,
    Release,
    SendResult,
    SettleResult,
)

__all__ = [
    "Ack",
    "Canceller",
    "Cancels",
    "Capabilities",
    "DeadLetterMover",
    "DeadLetterQueue",
    "DeadMessage",
    "Driver",
    "ExtendResult",
    "Final",
    "FinalStep",
    "HidingLooks",
    "LeaseWatcher",
    "MoveProgress",
    "MoveState",
    "NativeDeadLetter",
    "Outgoing",
    "PermissionProber",
    "PullDriver",
    "PushDriver",
    "PushRequest",
    "PushResponse",
    "QueueInspector",
    "QueueMaker",
    "QueueSettings",
    "QueueStats",
    "Refusal",
    "Release",
    "SendResult",
    "SettleResult",
    "Words",
]


class Driver(Protocol):
    """What every backend can do.

    All methods must be safe to call from several threads at once. Each except `receive` must end within
    `Capabilities.call_timeout`, whatever the backend does, since a caller waits for it. A call that hangs must become a
    `BackendUnavailable`, which says that the call may have been carried out.
    """

    def capabilities(self, queue: str) -> Capabilities:
        """What `queue` can do. Must be pure (no call to the backend), since it is called for each message."""
        ...

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Stores each body durably before it returns, and reports each in order.

        An item must not be reported as stored unless the backend named it as stored: the original of a copy is deleted
        on that word. An item that the answer doesn't name must be reported as `BackendUnavailable`, "it may have been
        stored". It must not raise for a single item, which would hide what became of the others.

        All are for one queue, at most `max_batch` and `max_batch_bytes`. A body with a known native id must not be
        stored again. If the queue doesn't exist, each item is a `QueueNotFound` (unless the first send makes queues).
        """
        ...

    def stats(self, queue: str) -> QueueStats:
        """How full the queue is."""
        ...

    def purge(self, queue: str) -> int | None:
        """Deletes all messages, leased ones too (see `Capabilities.purges_leased`). It must not delete dead letters.

        Returns how many, where known.
        """
        ...

    def dead_letters(self, queue: str) -> DeadLetterQueue:
        """The dead letters of `queue` (not of `q-dlq`). Must not call the backend."""
        ...

    def close(self) -> None:
        """Frees what it holds. A receive under way must return. Leased messages stay leased until the lease's end."""
        ...


class PullDriver(Driver, Protocol):
    """A backend that is polled."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """Leases up to `limit` messages to the caller alone; waits up to `wait` for the first.

        It must not return early with nothing, since it is called again at once. The lease must be counted from before
        the backend handed the message over, so that nobody works under a lease that is over. A body that can't be
        decoded must be handed over like any other: the core dead-letters it and says why. On an ordered queue at most
        one message of a key may be leased at a time, in their order. Once the driver is closed it must return nothing.
        """
        ...

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        """Carries out each step and reports each in order. It must not raise for a single item.

        A lease that is over must be *reported* as `LeaseLost`, never raised, and only if the backend said so, since
        the settlement is tried again after any other error. Where `fenced_settle` is true, a late settlement must
        change nothing.
        """
        ...

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        """Makes each lease end `by` from now. Must report what was GRANTED, in order; a lost lease is `LeaseLost`.

        A lease whose settlement is in flight, or has failed, must be extended like any other, since the worker keeps it
        until the settlement is confirmed. If the settlement wins, the extension may report anything.
        """
        ...

    def interrupt(self) -> None:
        """Makes receives under way return soon. They may still bring messages.

        Where `interruptible` is false it may do nothing. A receive that begins later must wait as usual.
        """
        ...


class PushDriver(Driver, Protocol):
    """A backend that pushes.

    `decode` and `encode` must be pure (no call to the backend, no clock), since edges call them on an event loop.
    """

    def decode(self, request: PushRequest) -> Delivery:
        """The delivery that was pushed. A body that can't be decoded must be handed over like any other.

        The lease must end when the backend stops waiting for the answer, counted from the request's arrival: `ends`
        from `received`, `expires_at` from `received_at`.

        Raises:
            PushRefused: It isn't a push of this backend (a header that the backend always sets is missing or wrong).
        """
        ...

    def encode(self, final: Final) -> PushResponse:
        """The answer that carries the step out: `Ack` must delete the message, `Release` must have it pushed again.

        It is never called with a step that the capabilities don't offer.
        """
        ...


def is_push(driver: Driver) -> TypeGuard[PushDriver]:
    """Whether a backend pushes."""
    return callable(getattr(driver, "decode", None)) and callable(getattr(driver, "encode", None))


class DeadLetterQueue(Protocol):
    """The dead letters of one queue."""

    def peek(self, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        """Up to `limit` dead letters, oldest first, from behind the one whose `key` is `after`. Must not take any."""
        ...

    def get(self, key: str) -> DeadMessage | None:
        """The dead letter of that key, or `None` if there is none (any more). Must not take it."""
        ...

    def take(self, keys: Sequence[str] | None, *, limit: int, lease: timedelta) -> Sequence[Delivery]:
        """Leases up to `limit` dead letters, those of `keys` or (`None`) the oldest, so that nobody else takes them.

        One that isn't settled in time must stay in the dead-letter queue. Its `Delivery.failure` must say why it died.
        """
        ...

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        """As `PullDriver.settle`: `Ack` must delete a dead letter, `Release` must leave it."""
        ...

    def purge(self, keys: Sequence[str] | None) -> int:
        """Deletes the dead letters of `keys`, or (`None`) all. Returns how many there were."""
        ...


@runtime_checkable
class BoundedLooks(Protocol):
    """An optional part of a dead-letter queue whose looks have a bound: it says when there were more."""

    @property
    def unseen(self) -> bool:
        """Whether the latest look (`peek`, `get`, `take` or `purge` of chosen ones) ended before it had seen all."""
        ...


@runtime_checkable
class HidingLooks(Protocol):
    """An optional part of a dead-letter queue whose looks lease what they read, as its service shows nothing else.

    A look must give back what it read as soon as it ends. To take chosen ones is such a look, too.
    """

    @property
    def hides_for(self) -> timedelta:
        """For how long a look that was cut off hides from others what it had read, at most."""
        ...


@runtime_checkable
class QueueMaker(Protocol):
    """An optional part of a driver: it makes queues, where the first send makes none. For development."""

    def make_queue(self, queue: str) -> bool:
        """Makes `queue` and its dead-letter queue, if they aren't there. Returns whether `queue` was made.

        A queue that exists must stay as it is.
        """
        ...


@runtime_checkable
class QueueInspector(Protocol):
    """An optional part of a driver: it reads how queues are set up that somebody else made. By control calls.

    What is wrong with the settings isn't the driver's to say: `cloudq doctor` and `cloudq queues check` do, by one law.
    """

    def queue_settings(self, queue: str) -> QueueSettings | None:
        """How `queue` is set up, or `None` if there is none. It must change nothing.

        `queue` is a dead-letter queue, too, where that is a queue of its own.
        """
        ...


@runtime_checkable
class PermissionProber(Protocol):
    """An optional part of a driver: it finds out what this process may do, without doing it."""

    def missing_permissions(self, queue: str, *, works: bool) -> Sequence[str]:
        """The permissions that this process lacks for `queue` and its dead-letter queue, by the service's own names.

        It must change nothing, whatever the service answers, and must name none that may be there. An answer that says
        nothing of permissions must be raised.

        Args:
            queue: The queue.
            works: Whether a worker's permissions are meant, or only those of who sends.
        """
        ...


@runtime_checkable
class Canceller(Protocol):
    """An optional part of a driver: it takes back messages that were never handed over."""

    def cancel(self, queue: str, receipt: str) -> bool:
        """Deletes the message that a send gave the receipt for.

        `True` must be certain: the message was there, and nobody will be handed it. `False` means that nothing was
        changed, since the message is gone (done, dead, copied, cancelled) or under way: it was handed over, or may be
        at this moment. A message that was only released unstarted may be either. The next message of its ordering key
        may then come. Its native id must stay known.

        Raises:
            ValueError: The receipt isn't one of this driver's, or is for another place than this driver's.
        """
        ...


@runtime_checkable
class LeaseWatcher(Protocol):
    """An optional part of a pull driver: it reports at once that a lease has ended before its time.

    For backends where a lock lives no longer than the connection that it was granted on: the task that runs under it
    must learn of the cut before another worker begins, not when the next extension fails.
    """

    def watch(self, lease: Lease, lost: Callable[[str], None]) -> None:
        """Calls `lost`, at most once, as soon as it is known that `lease` ended early; at once if it has already.

        It must not call the backend. `lost` is given the reason, for people, and returns soon. It may be called by any
        thread, but must be called with none of the driver's locks held, and never after the lease was settled.
        """
        ...


@runtime_checkable
class DeadLetterMover(Protocol):
    """An optional part of a driver: it has the backend itself move a queue's dead letters back, unchanged.

    It is never called for an ordered queue: its service remembers native ids, and a message that keeps its own could be
    swallowed (semantics 1).
    """

    def start_move(self, queue: str) -> str:
        """Starts to move all dead letters of `queue` back into it. Must return at once, with a name for the move.

        It must name the destination to the backend, so that dead letters that workers stored by a copy move too
        (semantics 7). The move goes on when this process ends.

        Raises:
            ConfigurationError: The backend can't move from a queue that is set up like this.
            BackendError: Nothing was started, for example since another move is under way.
        """
        ...

    def move_progress(self, queue: str, move: str) -> MoveProgress:
        """How far the move of that name is. A move that the backend doesn't show yet must be reported as running."""
        ...

    def cancel_move(self, queue: str, move: str) -> None:
        """Asks the backend to stop. What was moved stays moved. A move that has ended must be left as it is."""
        ...
