"""The driver contract: what a backend must do to carry cloudq. These docstrings ARE the contract.

A driver is mechanism only: it translates and reports. It doesn't sleep between tries, doesn't retry beyond what its
SDK does, and decides nothing. Each sentence here is a behaviour of `cloudq.testing.conformance`.

The values that it takes and returns live beside it (`capabilities`, `steps`, `inspection`, `push`, `moving`) and can
all be imported from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol, runtime_checkable

from cloudq.core.capabilities import Cancels, Capabilities, Refusal, Words
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.inspection import DeadMessage, QueueStats
from cloudq.core.moving import MoveProgress, MoveState
from cloudq.core.push import PushRequest, PushResponse
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
    "LeaseWatcher",
    "MoveProgress",
    "MoveState",
    "NativeDeadLetter",
    "Outgoing",
    "PullDriver",
    "PushDriver",
    "PushRequest",
    "PushResponse",
    "QueueChecker",
    "QueueMaker",
    "QueueStats",
    "Refusal",
    "Release",
    "SendResult",
    "SettleResult",
    "Words",
]


class Driver(Protocol):
    """What every backend can do.

    All methods may be called from several threads at once. Each, `receive` apart, must end within
    `Capabilities.call_timeout` whatever the backend does, since a caller waits for it: one that hangs is a
    `BackendUnavailable`, which says that it may have been done.
    """

    def capabilities(self, queue: str) -> Capabilities:
        """What `queue` can do. Must be pure, as it is asked for each message: no call to the backend."""
        ...

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        """Stores each body durably, before it returns, and reports each in order.

        An item must not be reported as stored unless the backend named it so: its original is deleted on that word.
        What an answer doesn't name is a `BackendUnavailable`, "it may have been stored". Must not raise for one item,
        which would hide what became of the others.

        All are for one queue, at most `max_batch` and `max_batch_bytes`. A body with a known native id must not be
        stored again. A queue that doesn't exist is a `QueueNotFound` (where queues aren't made by the first send).
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
        """Frees what it holds; a receive under way must return. Messages under a lease stay so until it expires."""
        ...


class PullDriver(Driver, Protocol):
    """A backend that is polled."""

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        """Leases up to `limit` messages to the caller alone; waits up to `wait` for the first.

        It must wait for it, and not return early without any: it is called again at once. The lease must be counted
        from before the backend handed the message over, so that nobody works under one that is over. A body that can't
        be decoded must be handed over like any other: the core dead-letters it, and says why. On an ordered queue at
        most one message of a key may be leased at a time, in their order. Returns nothing once the driver is closed.
        """
        ...

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        """Carries out each step and reports each in order. Must not raise for one item.

        A lease that is over must be *reported* as `LeaseLost`, never raised, and only where the backend said so: on any
        other error the settlement is tried again. Where `fenced_settle` is true, a late one must change nothing.
        """
        ...

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        """Makes each lease end `by` from now and reports what was GRANTED, in order; a lost one is `LeaseLost`.

        A lease whose settlement is in flight, or has failed, must be extended like any other: the worker keeps it until
        the settlement is confirmed. If the settlement wins, what the extension is answered doesn't matter.
        """
        ...

    def interrupt(self) -> None:
        """Makes receives under way return soon, where the client can; they may still bring messages.

        Where `interruptible` is false it may do nothing. A later receive must wait as usual.
        """
        ...


class PushDriver(Driver, Protocol):
    """A backend that pushes.

    `decode` and `encode` must be pure, as edges call them on an event loop: no call to the backend, no clock.
    """

    def decode(self, request: PushRequest) -> Delivery:
        """What was pushed. A body that can't be decoded is handed over like any other.

        The lease ends when the backend stops waiting for the answer, counted from when the request came in: `ends` from
        `received`, `expires_at` from `received_at`.

        Raises:
            PushRefused: It isn't a push of this backend (a header that the backend always sets is missing or wrong).
        """
        ...

    def encode(self, final: Final) -> PushResponse:
        """The answer that carries the step out: `Ack` deletes the message, `Release` has it pushed again.

        Steps that the capabilities don't offer are never asked for.
        """
        ...


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

    def cancel(self, queue: str, receipt: str) -> bool:
        """Deletes the message that a send gave the receipt for.

        `True` must be certain: the message was there, and nobody will be handed it. `False`: nothing was changed,
        as it is gone (done, dead, copied, cancelled) or under way: it was handed over, or may be at this moment. What
        was only released unstarted may be either. The next message of its ordering key may come. Its native id must
        stay known.

        Raises:
            ValueError: The receipt is none of this driver's, or of another place than this driver's.
        """
        ...


@runtime_checkable
class LeaseWatcher(Protocol):
    """What a pull driver may do besides: tell at once of a lease that ends before its time.

    For backends where a lock lives no longer than the connection that it was granted on: whoever works under it has to
    hear of the cut before somebody else begins, and not when the next extension fails.
    """

    def watch(self, lease: Lease, lost: Callable[[str], None]) -> None:
        """Has `lost` called, at most once, as soon as it is known that `lease` ended early; at once if it has already.

        Makes no call to the backend. `lost` is given why, for people. It must come back soon: it is called by any
        thread, with none of the driver's locks held. Once the lease was settled it isn't called any more.
        """
        ...


@runtime_checkable
class DeadLetterMover(Protocol):
    """What a driver may do besides: have the backend move a queue's dead letters back, unchanged and by itself.

    Never asked for an ordered queue: its service remembers native ids, and a message that keeps its own could be
    swallowed (semantics 1).
    """

    def start_move(self, queue: str) -> str:
        """Starts to move all dead letters of `queue` back into it, and returns at once. What it returns names the move.

        The destination is named to the backend, so that those that workers dead-lettered by a copy move too
        (semantics 7). The move goes on when this process ends.

        Raises:
            ConfigurationError: The backend moves nothing from a queue that is set up like this.
            BackendError: Nothing was started; another move is under way, say.
        """
        ...

    def move_progress(self, queue: str, move: str) -> MoveProgress:
        """How far the move of that name is. One that the backend doesn't show yet is running."""
        ...

    def cancel_move(self, queue: str, move: str) -> None:
        """Asks the backend to stop. What was moved stays moved. One that has ended is left as it is."""
        ...
