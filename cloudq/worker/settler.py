"""`Settler`: carries outcomes out. Copies are stored first, then the final step; asynchronous to the executors.

```
 executor       settle(held, outcome) ─▶ plan()
 copy flushers                             └─▶ copies stored ─┐          (Batcher over CloudQueue.store_copies)
 final flushers                                               └─▶ final ─▶ confirmed ─▶ lease forgotten, slot's books
                                                                 (Batcher over PullDriver.settle)
```
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import Final as Const

from cloudq.core.batching import Batcher
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import (
    Ack,
    Final,
    FinalStep,
    Outgoing,
    PullDriver,
    Release,
    SendResult,
    SettleResult,
)
from cloudq.core.outcome import Acked, Outcome, Retried
from cloudq.core.plan import Plan, plan
from cloudq.core.threads import Threads
from cloudq.errors import LeaseLost
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.running.backoff import Backoff
from cloudq.running.held import HeldLease
from cloudq.running.log_fields import fields
from cloudq.worker.intake import Intake
from cloudq.worker.leases import LeaseKeeper

logger = logging.getLogger("cloudq.worker")

FIRST_PAUSE: Const = timedelta(milliseconds=200)
LONGEST_PAUSE: Const = timedelta(seconds=5)
_ACK: Const = Ack()


class _Edge:
    """One queue's batchers."""

    def __init__(
        self,
        queue: CloudQueue,
        carry_out: Callable[[Sequence[_Settlement]], Sequence[SettleResult]],
        clock: Clock,
    ) -> None:
        self.capabilities = queue.capabilities
        self.copies: Batcher[Outgoing, SendResult] = Batcher(
            queue.store_copies,
            max_items=self.capabilities.max_batch,
            max_bytes=self.capabilities.max_batch_bytes,
            size=lambda copy: len(copy.body),
            clock=clock,
            name=f"cloudq-copy-{queue.name}",
        )
        self.finals: Batcher[_Settlement, SettleResult] = Batcher(
            carry_out, max_items=self.capabilities.max_batch, clock=clock, name=f"cloudq-settle-{queue.name}"
        )


class _Settlement:
    """One delivery on its way out."""

    __slots__ = ("acked", "backoff", "confirmed", "edge", "final", "held")

    def __init__(self, held: HeldLease, edge: _Edge, step: FinalStep, *, acked: bool = False) -> None:
        self.held = held
        self.acked = acked  # because its task succeeded: an Ack may also follow a copy
        self.edge = edge
        self.final = Final(lease=held.delivery.lease, step=step)
        self.backoff: Backoff | None = None
        self.confirmed = False


class Settler:
    """Settles what the handlers and the shutdown leave behind. Never raises, never blocks for the backend.

    Args:
        driver: The backend.
        queue: The handle of a queue by its name.
        keeper: Renews the leases until the settlements are confirmed.
        intake: Counts what is in hand.
        acked: Told, on a thread of the settler's own, of each delivery whose task succeeded and whose message is
            confirmed to be deleted; `None` for nobody.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        driver: PullDriver,
        *,
        queue: Callable[[str], CloudQueue],
        keeper: LeaseKeeper,
        intake: Intake,
        clock: Clock,
        acked: Callable[[Delivery], None] | None = None,
    ) -> None:
        self._driver = driver
        self._acked = acked
        self._queue = queue
        self._keeper = keeper
        self._intake = intake
        self._clock = clock
        self._background = Threads("cloudq-settler", 2, clock=clock)
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._edges: dict[str, _Edge] = {}
        self._failing = False
        self.late = 0

    def settle(self, held: HeldLease, outcome: Outcome) -> None:
        """Starts to carry out what became of a delivery whose handler has ended."""
        delivery = held.delivery
        edge = self._edge(delivery.queue)
        if isinstance(outcome, Acked):
            # Tried even if the lease is over: finished work should not run again (semantics 10).
            self._submit(_Settlement(held, edge, _ACK, acked=True))
            return
        if held.over(self._clock.now()):
            self._end_late(held, f"{type(outcome).__name__}: {outcome.reason}")
            return
        try:
            made = plan(delivery, outcome, edge.capabilities, self._clock.now())
        except Exception:  # a middleware may have returned anything: that costs neither the thread nor the message
            logger.exception(
                "%s can't be settled; it comes back when its lease is over", delivery.id, extra=fields(delivery)
            )
            self._end(held)
            return
        if made.copies:
            self._copy(held, edge, made)
        else:
            self._finish(held, edge, made.final)

    def give_back(self, held: HeldLease, delay: timedelta) -> None:
        """Gives back what was not started here: by a copy or a release, as `plan()` says, uncounted."""
        if held.over(self._clock.now()):
            self._end(held)  # it is nobody's here, and the keeper has said so
        else:
            self.settle(held, Retried(delay=delay, reason="not started here", counted=False))

    def release(self, held: Iterable[HeldLease], *, counted: bool) -> None:
        """Gives back, at once, what won't be worked on here.

        Args:
            held: What is given back.
            counted: Whether it was started, and so used up an attempt.
        """
        held = list(held)
        step = Release(counted=counted)
        for one in held:
            if one.over(self._clock.now()):
                self._end(one)  # it is nobody's here, and the keeper has said so
            else:
                self._finish(one, self._edge(one.delivery.queue), step)

    def close(self) -> None:
        """Drops what is still to be tried again."""
        self._background.close()

    # ── copies ───────────────────────────────────────────────────────────────────────────────────────────

    def _copy(self, held: HeldLease, edge: _Edge, made: Plan) -> None:
        futures = [edge.copies.submit(copy) for copy in made.copies]
        left = len(futures)
        lock = threading.Lock()

        def stored(_: Future[SendResult]) -> None:
            nonlocal left
            with lock:
                left -= 1
                last = not left
            if last:
                self._copied(held, edge, made, futures)

        for future in futures:
            future.add_done_callback(stored)

    def _copied(self, held: HeldLease, edge: _Edge, made: Plan, futures: list[Future[SendResult]]) -> None:
        error = next((error for future in futures if (error := _error_of(future)) is not None), None)
        if error is None:
            self._finish(held, edge, made.final)
            return
        logger.error(
            "the copy of %s could not be stored, so it stays in its queue: %s",
            held.delivery.id,
            error,
            extra=fields(held.delivery),
        )
        if held.over(self._clock.now()):
            self._end_late(held, "nothing was changed")
        else:
            self._finish(held, edge, made.on_copy_failure)

    # ── final steps ──────────────────────────────────────────────────────────────────────────────────────

    def _finish(self, held: HeldLease, edge: _Edge, step: FinalStep) -> None:
        settlement = _Settlement(held, edge, step)
        if not isinstance(step, Release) or self._keeper.detach([held], wait=False):
            self._submit(settlement)
            return
        # A renewal is in flight: the release must land after it.
        self._background.submit(partial(self._detach_and_submit, settlement))

    def _detach_and_submit(self, settlement: _Settlement) -> None:
        self._keeper.detach([settlement.held])
        self._submit(settlement)

    def _submit(self, settlement: _Settlement) -> None:
        future = settlement.edge.finals.submit(settlement)
        future.add_done_callback(partial(self._answered, settlement))

    def _carry_out(self, settlements: Sequence[_Settlement]) -> Sequence[SettleResult]:
        """One call of the driver. What it confirms is out of hand, all of it at once; the rest is `_answered`'s."""
        results = self._driver.settle([settlement.final for settlement in settlements])
        confirmed = [one for one, result in zip(settlements, results, strict=True) if result.error is None]
        if confirmed:
            self._confirmed(confirmed)
        return results

    def _confirmed(self, settlements: Sequence[_Settlement]) -> None:
        if self._failing:
            self._failing = False
            self._intake.settlements_failing(settlements[0].held.delivery.queue, False)
            logger.info("settlements are confirmed again")
        for settlement in settlements:
            settlement.confirmed = True
            held = settlement.held
            if settlement.acked and self._acked is not None and not held.over(self._clock.now()):
                self._background.submit(partial(self._acked, held.delivery))
        self._end(*[settlement.held for settlement in settlements])

    def _answered(self, settlement: _Settlement, future: Future[SettleResult]) -> None:
        # Runs in the batcher's thread: nothing here may block.
        if settlement.confirmed:
            return
        error = _error_of(future)
        if isinstance(error, LeaseLost):
            self._end_late(settlement.held, "its settlement came too late")
        elif error is not None:
            self._failed(settlement, error)

    def _failed(self, settlement: _Settlement, error: BaseException) -> None:
        if not self._failing:
            self._failing = True
            self._intake.settlements_failing(settlement.held.delivery.queue, True)
            logger.warning("settlements fail, nothing is received until they are confirmed again: %s", error)
        held, now = settlement.held, self._clock.now()
        # Renewed for `settle_timeout` at most, but tried until the lease is over: finished work should not run again.
        if held.over(now):
            logger.error(
                "the settlement of %s is given up: %s; it comes back when its lease is over",
                held.delivery.id,
                error,
                extra=fields(held.delivery),
            )
            self._end(held)
            return
        settlement.backoff = settlement.backoff or Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        self._background.submit(partial(self._submit, settlement), delay=settlement.backoff.next())

    def _end_late(self, held: HeldLease, what: str) -> None:
        delivery: Delivery = held.delivery
        self.late += 1
        logger.warning(
            "the lease on %s was over before its end was recorded (%s); it may run a second time",
            delivery.id,
            what,
            extra=fields(delivery),
        )
        self._end(held)

    def _end(self, *held: HeldLease) -> None:
        self._keeper.forget(*held)
        self._intake.settled(held[0].delivery.queue, len(held))

    def _edge(self, name: str) -> _Edge:
        edge = self._edges.get(name)
        if edge is None:
            with self._lock:
                edge = self._edges.get(name)
                if edge is None:
                    edge = self._edges[name] = _Edge(self._queue(name), self._carry_out, self._clock)
        return edge


def _error_of(future: Future[SendResult] | Future[SettleResult]) -> BaseException | None:
    return future.exception() or future.result().error
