"""How the memory driver settles and extends: the same for messages and for dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final as Const

from cloudq.core.clock import Clock, later
from cloudq.core.delivery import Lease
from cloudq.core.driver import Ack, Capabilities, ExtendResult, Final, Release, SettleResult
from cloudq.core.failure import Failure
from cloudq.drivers.memory.store import Entry, Shelf, Store
from cloudq.errors import LeaseLost, UnsupportedError

_DEAD: Const = "\N{SKULL} "


class Settler:
    """Carries out final steps and extensions on the shelves of one store."""

    def __init__(self, store: Store, clock: Clock, capabilities: Callable[[str], Capabilities]) -> None:
        self._store = store
        self._clock = clock
        self._capabilities = capabilities

    def settle(self, finals: Sequence[Final], shelf_of: Callable[[Final], Shelf]) -> list[SettleResult]:
        """Each step on the shelf that `shelf_of` gives; one result each, in order."""
        results: list[SettleResult] = []
        with self._store.changed:
            for final in finals:
                capabilities = self._capabilities(final.lease.queue)
                error = batch_refused(len(finals), capabilities) or self._settle_one(
                    final, shelf_of(final), capabilities
                )
                results.append(SettleResult(error=error))
            self._store.changed.notify_all()
        return results

    def extend(self, leases: Sequence[Lease], by: timedelta, shelf_of: Callable[[Lease], Shelf]) -> list[ExtendResult]:
        """Each lease on the shelf that `shelf_of` gives; one result each, in order."""
        with self._store.changed:
            return [
                self._extend_one(
                    lease, by, shelf_of(lease), batch_refused(len(leases), self._capabilities(lease.queue))
                )
                for lease in leases
            ]

    def dead_shelf(self, queue: str) -> Shelf:
        """Where native dead letters of the queue are. No queue's name has the prefix."""
        return self._store.shelf(_DEAD + queue, ordered=False)

    def is_dead_shelf(self, name: str) -> bool:
        """Whether a shelf is one of those."""
        return name.startswith(_DEAD)

    def _settle_one(self, final: Final, shelf: Shelf, capabilities: Capabilities) -> Exception | None:
        now = self._clock.elapsed()
        step = final.step
        entry = shelf.held(final.lease.receipt, now)
        if entry is None:
            return self._late(final, shelf, capabilities)
        if isinstance(step, Ack):
            shelf.remove(entry)
            return None
        if isinstance(step, Release):
            return _release(entry, step, shelf, capabilities, now)
        dead = self.dead_shelf(final.lease.queue)
        if not capabilities.native_dead_letter or shelf is dead:
            return UnsupportedError("native dead letters aren't known here")
        shelf.remove(entry)
        dead.add(self._dead(entry, step.failure))
        return None

    def _late(self, final: Final, shelf: Shelf, capabilities: Capabilities) -> LeaseLost:
        if not capabilities.fenced_settle and isinstance(final.step, Ack):
            # As a stale receipt handle of SQS does: it deletes the message, if that wasn't handed over again since.
            entry = shelf.last_held(final.lease.receipt)
            if entry is not None:
                shelf.remove(entry)
        return _lost(final.lease)

    def _dead(self, entry: Entry, failure: Failure) -> Entry:
        return Entry(
            number=next(self._store.numbers),
            id=entry.id,
            body=entry.body,
            key=entry.key,
            failure=failure,
            now=self._clock.now(),
            due=self._clock.elapsed(),
        )

    def _extend_one(self, lease: Lease, by: timedelta, shelf: Shelf, refused: UnsupportedError | None) -> ExtendResult:
        capabilities = self._capabilities(lease.queue)
        if refused is not None:
            return ExtendResult(error=refused)
        if not capabilities.extendable:
            return ExtendResult(error=UnsupportedError(f"leases of queue {lease.queue!r} can't be extended"))
        if capabilities.max_lease is not None and by > capabilities.max_lease:
            return ExtendResult(error=UnsupportedError(f"a lease of {by} is longer than {capabilities.max_lease}"))
        now = self._clock.elapsed()
        entry = shelf.held(lease.receipt, now)
        if entry is None:
            return ExtendResult(error=_lost(lease))
        ends = now + by if entry.hard_end is None else min(now + by, entry.hard_end)
        shelf.hide(entry, ends)
        return ExtendResult(expires_at=later(self._clock.now(), ends - now), ends=ends)


def batch_refused(size: int, capabilities: Capabilities) -> UnsupportedError | None:
    """Why a call for that many items can't be made, or `None`."""
    if size <= capabilities.max_batch:
        return None
    return UnsupportedError(f"{size} items in one call; at most {capabilities.max_batch} are taken")


def _release(
    entry: Entry, step: Release, shelf: Shelf, capabilities: Capabilities, now: timedelta
) -> UnsupportedError | None:
    # Where a single delivery can't be released, a failed push still comes again at once: that is a release of 0.
    longest = capabilities.native_retry_delay or timedelta(0)
    if step.delay > longest:
        return UnsupportedError(f"a release for {step.delay} is longer than {longest}")
    entry.leased = False
    entry.failure = step.failure or entry.failure
    if not step.counted and capabilities.attempt_exact:
        entry.runs -= 1
    due = now + max(timedelta(0), step.delay)
    shelf.hide(entry, due if entry.hard_end is None else max(now, min(due, entry.hard_end)))
    return None


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"the lease on a message of queue {lease.queue!r} is over")
