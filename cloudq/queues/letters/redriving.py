"""`Redriver`: sends dead letters to their queue again, as they are or changed. The copy first, then the deletion.

```
 take (leased) ─▶ copy each ─▶ store the copies ─▶ delete those whose copy is stored; release the others
                                                ✗ killed here: the message is in both places, never in none
```
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final as Const

import msgspec

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, BoundedLooks, DeadLetterQueue, Final, HidingLooks, Outgoing, Release, SendResult
from cloudq.core.shield import shielded
from cloudq.errors import CloudqError, LeaseLost, TransientError
from cloudq.queues.letters.pace import Pace

# How long what was taken may wait for its turn, with its copies and deletions, before somebody else may take it.
LEASE: Const = timedelta(minutes=2)
PAGE: Const = 100
# Where to take chosen ones is to read the whole dead-letter queue, it is read for this many at once, or for as many as
# are sent again in half of the lease.
_MANY: Const = 1_000
_HALF: Const = LEASE / 2
_SECOND: Const = timedelta(seconds=1)
# What is left of a lease has to last for a batch: a store of its copies with all retries, and their deletion.
_MARGIN: Const = timedelta(seconds=20)
_NO_TIME: Const = timedelta(0)
# After this many batches in a row of which nothing could be stored, though each was tried again for a while, the
# backend is down: what is left stays.
GIVE_UP: Const = 3


class Redriven(msgspec.Struct, frozen=True, kw_only=True):
    """What a redrive, an edit or an import did, or has done so far.

    Attributes:
        redriven: Messages that are in their queue again.
        undeleted: How many of these may still be in the dead-letter queue, too: their deletion failed, each with an
            error of it. To redrive them again is to have their work done again.
        errors: Why others are still in the dead-letter queue, or may be in both; one error each.
        chosen: How many were meant.
        missed: How many of these weren't touched: somebody else works on them, they are gone, they lie behind more
            others than the backend searches (`DeadLetters.unseen`), or, after errors of a backend that is down, they
            weren't tried.
    """

    redriven: int
    undeleted: int = 0
    errors: Sequence[Exception] = ()
    chosen: int = 0
    missed: int = 0


Progress = Callable[[Redriven], None]


class Redriver:
    """One redrive.

    Args:
        dead: The dead letters.
        store: Stores copies; see `CloudQueue.store_copies`.
        copy: What is to be stored for a dead letter. It may raise a `CloudqError`, which leaves that one as it is.
        pace: How fast.
        clock: Where the time comes from.
        most: How many at once.
        exclusive: Whether what is taken is kept from others. If not, a deletion that comes too late says that somebody
            else has made the same copy before.
        progress: Called after each batch.
    """

    def __init__(
        self,
        dead: DeadLetterQueue,
        store: Callable[[Sequence[Outgoing]], Sequence[SendResult]],
        copy: Callable[[Delivery], Outgoing],
        *,
        pace: Pace,
        clock: Clock,
        most: int,
        exclusive: bool = True,
        progress: Progress | None = None,
    ) -> None:
        self._dead = dead
        self._store = store
        self._copy = copy
        self._pace = pace
        self._batch = pace.within(_SECOND, min(PAGE, most))
        self._portion = pace.within(_HALF, _MANY) if isinstance(dead, HidingLooks) else self._batch
        self._progress = progress
        self._exclusive = exclusive
        self._clock = clock
        self._chosen = self._redriven = self._undeleted = self._missed = self._failed = 0
        self._errors: list[Exception] = []

    def run(self, keys: Sequence[str]) -> Redriven:
        """Redrives those of `keys` that can be taken, each once.

        Raises:
            CloudqError: The first can't be taken. Later such an error ends it, and is the last of `Redriven.errors`.
        """
        self._chosen = len(keys)
        untaken = len(keys)
        waiting = list(keys)
        while waiting:
            portion, waiting = waiting[: self._portion], waiting[self._portion :]
            done, before = self._redriven, self._portion
            # With nothing in its hands: at a slow pace a turn may be further off than the end of any lease.
            self._pace.wait()
            try:
                found = self._dead.take(portion, limit=len(portion), lease=LEASE)
            except CloudqError as error:
                if untaken == self._chosen:
                    raise  # nothing was done, so there is nothing to say of it
                self._errors.append(error)
                break
            ended = self._redrive(found)
            untaken -= ended
            if self._failed >= GIVE_UP:
                break
            unseen = isinstance(self._dead, BoundedLooks) and self._dead.unseen
            goes_on = self._redriven > done or (self._failed > 0 and len(found) > 0)
            if self._portion < before or (unseen and len(found) < len(portion) and goes_on):
                # The others need another lease, or lie behind what one look holds. Those that stay are found again.
                waiting = portion + waiting
        return self._so_far(max(0, untaken))

    def _redrive(self, taken: Sequence[Delivery]) -> int:
        """Redrives what was taken, batch by batch; says how many it came to. The others are released."""
        left = list(taken)
        try:
            while left and self._failed < GIVE_UP:
                batch = left[: self._batch]
                self._pace.wait()
                remains = min(delivery.lease.ends for delivery in batch) - self._clock.elapsed()
                if self._portion > self._batch and remains < _MARGIN:
                    # They took too long to be found: somebody else may have taken them by the time they are sent.
                    self._portion = max(self._batch, self._portion // 2)
                    break
                if remains > _NO_TIME:
                    self._pace.note(len(batch))
                    self._send(batch)
                else:
                    # Fewer can't be taken at once. Sent, they would be sent again: they could no longer be deleted.
                    self._leave(batch)
                del left[: len(batch)]
                if self._progress is not None:
                    self._progress(self._so_far())
        finally:
            if left:
                # Interrupted, copies may be stored or not; nobody has to wait for the ends of the leases.
                with suppress(Exception):
                    self._release(left)
        return len(taken) - len(left)

    def _release(self, taken: Sequence[Delivery]) -> None:
        self._dead.settle([Final(lease=delivery.lease, step=Release()) for delivery in taken])

    def _leave(self, batch: Sequence[Delivery]) -> None:
        """Leaves what was taken as it is, since its lease is over."""
        self._release(batch)
        self._errors += [
            LeaseLost(f"a dead letter of queue {delivery.queue!r} wasn't sent: the lease on it ran out before its turn")
            for delivery in batch
        ]
        self._failed += 1

    @shielded
    def _send(self, batch: Sequence[Delivery]) -> None:
        copies, errors = self._copies(batch)
        results = dict(zip(copies, self._store(list(copies.values())) if copies else (), strict=True))
        sent = [place in results and results[place].error is None for place in range(len(batch))]
        settled = self._dead.settle(
            [
                Final(lease=delivery.lease, step=Ack() if is_sent else Release())
                for delivery, is_sent in zip(batch, sent, strict=True)
            ]
        )
        self._errors += errors
        unstored = [result.error for result in results.values() if result.error is not None]
        self._errors += unstored
        is_down = bool(results) and all(isinstance(result.error, TransientError) for result in results.values())
        self._failed = self._failed + 1 if is_down else 0
        for after, is_sent in zip(settled, sent, strict=True):
            if is_sent and not self._exclusive and isinstance(after.error, LeaseLost):
                self._missed += 1
            elif is_sent:
                # Once its copy is stored a dead letter counts as redriven; an error of its deletion is still reported.
                self._redriven += 1
                if after.error is not None:
                    self._undeleted += 1
                    self._errors.append(after.error)

    def _copies(self, batch: Sequence[Delivery]) -> tuple[dict[int, Outgoing], list[Exception]]:
        """The copies by the places of what they are copies of, and why there are no others."""
        copies: dict[int, Outgoing] = {}
        errors: list[Exception] = []
        for place, delivery in enumerate(batch):
            try:
                copies[place] = self._copy(delivery)
            except CloudqError as error:
                errors.append(error)
        return copies, errors

    def _so_far(self, untaken: int = 0) -> Redriven:
        missed = self._missed + untaken
        return Redriven(
            redriven=self._redriven,
            undeleted=self._undeleted,
            errors=tuple(self._errors),
            chosen=self._chosen,
            missed=missed,
        )
