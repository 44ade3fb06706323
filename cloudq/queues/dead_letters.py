"""`DeadLetters`: look at what failed for good, send it again, or throw it away. Portable over every driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import msgspec
from msgspec.structs import replace

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import (
    Ack,
    BoundedLooks,
    Capabilities,
    DeadLetterMover,
    DeadLetterQueue,
    DeadMessage,
    Final,
    Outgoing,
    Refusal,
    Release,
    SendResult,
)
from cloudq.core.message import native_copy_id, next_generation
from cloudq.core.moving import MoveProgress
from cloudq.core.plan import letter_name, outgoing
from cloudq.core.refusals import refused
from cloudq.core.shield import shielded
from cloudq.errors import UnsupportedError

# How long a redrive may take over one batch before somebody else may take its dead letters.
REDRIVE_LEASE = timedelta(minutes=2)
PAGE = 100


class Redriven(msgspec.Struct, frozen=True, kw_only=True):
    """What a redrive did.

    Attributes:
        redriven: Dead letters that are in their queue again.
        errors: Why others are still in the dead-letter queue, one error each.
    """

    redriven: int
    errors: Sequence[Exception] = ()


class Move:
    """The backend moves dead letters back by itself, whether this process lives or not. See `DeadLetters.move_all`."""

    def __init__(self, queue: str, mover: DeadLetterMover, name: str) -> None:
        self.queue = queue
        self._mover = mover
        self._name = name

    def __repr__(self) -> str:
        """The queue's name."""
        return f"Move({self.queue!r})"

    def progress(self) -> MoveProgress:
        """How far it is, asked anew. Once a second is enough."""
        return self._mover.move_progress(self.queue, self._name)

    def cancel(self) -> None:
        """Asks the backend to stop. What was moved stays moved; one that has ended is left as it is."""
        self._mover.cancel_move(self.queue, self._name)


class DeadLetters:
    """The dead letters of one queue. Obtained by `app.queue("name").dead_letters`."""

    def __init__(
        self,
        queue: str,
        dead: DeadLetterQueue,
        store: Callable[[Sequence[Outgoing]], Sequence[SendResult]],
        capabilities: Capabilities,
        clock: Clock,
        *,
        mover: DeadLetterMover | None = None,
    ) -> None:
        self.queue = queue
        self._mover = mover
        self._dead = dead
        self._store = store
        self._capabilities = capabilities
        self._clock = clock

    def __repr__(self) -> str:
        """The queue's name."""
        return f"DeadLetters({self.queue!r})"

    @shielded
    def peek(self, *, limit: int = PAGE, after: str | None = None) -> Sequence[DeadMessage]:
        """Up to `limit` dead letters, oldest first, from behind the one whose `key` is `after`. Takes nothing."""
        return self._dead.peek(limit=limit, after=after)

    def __iter__(self) -> Iterator[DeadMessage]:
        """All dead letters, oldest first, read page by page."""
        after: str | None = None
        while page := self._dead.peek(limit=PAGE, after=after):
            yield from page
            after = page[-1].key

    @property
    def unseen(self) -> bool:
        """Whether the latest look here ended at the backend's bound, so that there may be more dead letters.

        Amazon SQS and Google Cloud Tasks can't list them page by page. A look there ends after 10,000, or after 64 MiB
        of their bodies; the others show once those are gone.
        """
        return isinstance(self._dead, BoundedLooks) and self._dead.unseen

    @shielded
    def get(self, key: str) -> DeadMessage | None:
        """The dead letter with that `key`, or `None` if there is none (any more)."""
        return self._dead.get(key)

    @shielded
    def redrive(self, keys: Sequence[str] | None = None, *, limit: int | None = None) -> Redriven:
        """Sends dead letters to their queue again, with all attempts before them, then deletes them here.

        Stored first and deleted after: a crash in between leaves a message in both places, and the copy's name by
        generation keeps a second redrive from making a second copy where the backend de-duplicates. What dies again
        while this runs is not taken twice.

        Args:
            keys: Those to redrive, or `None` for all that are there now.
            limit: At most this many.

        Raises:
            UnsupportedError: Nothing can be sent to this queue.
        """
        if not self._capabilities.copies:
            raise refused(Refusal.REDRIVE, self.queue, self._capabilities)
        wanted = list(dict.fromkeys(keys)) if keys is not None else self._keys_now(limit)
        if limit is not None:
            wanted = wanted[: max(0, limit)]
        redriven = 0
        errors: list[Exception] = []
        size = min(PAGE, self._capabilities.max_batch)
        for start in range(0, len(wanted), size):
            taken = self._dead.take(wanted[start : start + size], limit=size, lease=REDRIVE_LEASE)
            stored, failed = self._redrive_batch(taken)
            redriven += stored
            errors += failed
        return Redriven(redriven=redriven, errors=tuple(errors))

    @property
    def movable(self) -> bool:
        """Whether `move_all` can be asked for: the backend has such a thing, and the queue keeps no order."""
        return self._mover is not None and not self._capabilities.ordering

    @shielded
    def move_all(self) -> Move:
        """Has the backend move all dead letters to their queue by itself, and returns at once. For very many.

        Unlike `redrive`, it moves them unchanged and for as long as there are any:

        * What the service itself put here, as it was received too often, keeps the attempts that its body names: a
          retry's copy may be dead again at its first failure. What a worker put here has all attempts before it.
        * What dies again at once is moved again, in a circle, until the move is cancelled or the service ends it.

        Raises:
            UnsupportedError: The backend has no such thing, or the queue keeps an order. Nothing was started.
            ConfigurationError: The queue has no redrive policy to its dead-letter queue. Nothing was started.
            BackendError: A move is under way already, or the backend failed.
        """
        if self._mover is None or self._capabilities.ordering:
            why = "this backend has no such move" if self._mover is None else "the queue keeps an order"
            raise UnsupportedError(
                f"the dead letters of queue {self.queue!r} can't be moved by the service itself: {why}",
                hint=f"send them again one by one: cloudq dlq redrive {self.queue} --all, or .redrive() in Python",
            )
        return Move(self.queue, self._mover, self._mover.start_move(self.queue))

    @shielded
    def purge(self, keys: Sequence[str] | None = None) -> int:
        """Deletes the dead letters of `keys`, or (`None`) all. They are gone. Returns how many there were."""
        return self._dead.purge(keys)

    def _keys_now(self, limit: int | None) -> list[str]:
        # Listed first, so that a message that fails again at once isn't redriven in a circle.
        keys: list[str] = []
        for dead in self:
            if limit is not None and len(keys) >= limit:
                break
            keys.append(dead.key)
        return keys

    def _redrive_batch(self, taken: Sequence[Delivery]) -> tuple[int, list[Exception]]:
        """Stores the copies, then deletes those dead letters whose copy is stored. How many, and the errors."""
        stored = self._store([self._copy(delivery) for delivery in taken])
        finals = [
            Final(lease=delivery.lease, step=Ack() if result.error is None else Release())
            for delivery, result in zip(taken, stored, strict=True)
        ]
        settled = self._dead.settle(finals) if finals else []
        errors = [result.error for result in stored if result.error is not None]
        done = len(stored) - len(errors)
        # Once its copy is stored a dead letter counts as redriven; an error of its deletion is still reported.
        errors += [
            after.error
            for before, after in zip(stored, settled, strict=True)
            if before.error is None and after.error is not None
        ]
        return done, errors

    def _copy(self, delivery: Delivery) -> Outgoing:
        generation = delivery.failure.generation if delivery.failure else 0
        message = delivery.message
        if message is not None:
            copy = replace(message, queue=self.queue).redrive_copy(generation=generation)
            # Of two letters under one name neither may swallow the other: see `plan`.
            name = native_copy_id(copy.source, copy.task, letter_name(delivery), copy.generation)
            item = outgoing(copy, self._capabilities, self._clock.now(), foreign=delivery.foreign)
            item = replace(item, native_id=name)
            # A producer that isn't cloudq may give the key to the service alone.
            group = delivery.group if self._capabilities.ordering else None
            return item if item.ordering_key else replace(item, ordering_key=group)
        # Undecodable: the bytes go back as they are; perhaps a newer worker understands them. They can't carry their
        # generation, so a native id might be that of an earlier redrive, and the copy be swallowed (semantics 1).
        return Outgoing(
            id=delivery.id,
            queue=self.queue,
            foreign=delivery.foreign,
            body=delivery.body,
            ordering_key=delivery.group,
            failure=replace(delivery.failure, generation=next_generation(generation)) if delivery.failure else None,
        )
