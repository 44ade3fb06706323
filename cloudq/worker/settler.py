"""`Settler`: carries outcomes out. Copies are stored first, then the final step; asynchronous to the executors.

```
 executor       settle(held, outcome) ─▶ plan()
 copy flushers                             └─▶ copies stored ─┐          (Batcher over CloudQueue.store_copies)
 final flushers                                               └─▶ final ─▶ confirmed ─▶ lease ended, slot's books
                                                                 (Batcher over PullDriver.settle)
```

Each queue settles by itself: one that can't be settled is tried again with growing pauses until its leases end, and
holds up no other. What each answer means for the lease is the table of `running.lease_life`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final as Const

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import (
    Ack,
    FinalStep,
    NativeDeadLetter,
    PullDriver,
    Release,
    SettleResult,
)
from cloudq.core.flights import Entry
from cloudq.core.outcome import Acked, DeadLettered, Outcome, Retried
from cloudq.core.plan import Plan, plan
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.errors import LeaseLost
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.running.backoff import Backoff
from cloudq.running.held import HeldLease
from cloudq.running.lease_life import State
from cloudq.running.log_fields import fields
from cloudq.worker.copies import store_copies
from cloudq.worker.intake import Intake
from cloudq.worker.leases import LeaseKeeper
from cloudq.worker.way_out import FLIGHTS, Settlement, Trouble, WayOut

logger = SafeLogger("cloudq.worker")

FIRST_PAUSE: Const = timedelta(milliseconds=200)
LONGEST_PAUSE: Const = timedelta(seconds=5)
# For how long a shutdown still tries to settle what its queue refuses.
REFUSED_AT_SHUTDOWN: Const = timedelta(seconds=3)
# Stores of large payloads are the user's, and may hang: this many deletions at once.
PAYLOAD_DELETIONS: Const = 2
_ACK: Const = Ack()


class Settler:
    """Settles what the handlers and the shutdown leave behind. Never raises, never blocks for the backend.

    Args:
        driver: The backend.
        queue: The handle of a queue by its name.
        keeper: Extends the leases until the settlements are confirmed.
        intake: Counts what is in hand.
        acked: Told, on a thread of the settler's own, of each delivery whose task succeeded and whose message is
            confirmed to be deleted; `None` for nobody.
        clock: Where the time comes from.
        done: Told of each delivery whose task succeeded, or whose dead letter is stored, though the backend couldn't be
            told in time: it comes again.
        dead: Told of each delivery that couldn't be dead-lettered: it comes again, and is not to run again.
        flights: How many calls may settle deliveries of a queue at once.
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
        done: Callable[[Delivery], None] = lambda _: None,
        dead: Callable[[Delivery, DeadLettered], None] = lambda _, __: None,
        flights: int = FLIGHTS,
    ) -> None:
        self._driver = driver
        self._acked = acked
        self._done = done
        self._dead = dead
        self._flights = flights
        self._queue = queue
        self._keeper = keeper
        self._intake = intake
        self._clock = clock
        self._retries = Threads("cloudq-settler", 1, clock=clock)
        # A pool of its own, so that no retry waits behind a slow store.
        self._payloads = Threads("cloudq-payloads", PAYLOAD_DELETIONS, clock=clock)
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._ways: dict[str, WayOut] = {}
        self._refused_until: timedelta | None = None
        self.late = 0

    def settle(self, held: HeldLease, outcome: Outcome) -> None:
        """Starts to carry out what became of a delivery whose handler has ended."""
        try:
            self._settle(held, outcome)
        except Exception:
            logger.exception(
                "%s can't be settled; it comes back when its lease is over",
                held.delivery.id,
                extra=fields(held.delivery),
            )
            self._give_up(held)

    def give_back(self, held: HeldLease, delay: timedelta) -> None:
        """Gives back what was not started here: by a copy or a release, as `plan()` says, uncounted."""
        if self._keeper.over(held):
            self._give_up(held)  # its lease is lost, which the keeper has logged
        else:
            self._keeper.note_handler_ended(held)
            self.settle(held, Retried(delay=delay, reason="not started here", counted=False))

    def release(self, held: Iterable[HeldLease], *, counted: bool) -> None:
        """Gives back at once a delivery that won't be worked on here. One whose lease is over comes back by itself.

        Args:
            held: What is given back.
            counted: Whether it was started, and so used up an attempt.
        """
        step = Release(counted=counted)
        for one in held:
            self._finish(one, self._way(one.delivery.queue), step)

    def shut_down(self) -> None:
        """From now on, a queue that refuses settlements is tried for three seconds more; then they are given up."""
        with self._lock:
            if self._refused_until is None:
                self._refused_until = self._clock.elapsed() + REFUSED_AT_SHUTDOWN
        self._retries.submit(self._give_up_refused, delay=REFUSED_AT_SHUTDOWN)

    def catch_up(self) -> None:
        """To be called now and then: tries again to start a thread for what waits, where that failed."""
        self._retries.catch_up()
        self._payloads.catch_up()

    def close(self) -> None:
        """Drops what is still to be tried again."""
        self._retries.close()
        self._payloads.close()

    def _settle(self, held: HeldLease, outcome: Outcome) -> None:
        delivery = held.delivery
        way = self._way(delivery.queue)
        if isinstance(outcome, Acked):
            # Tried even if the lease is over: finished work should not run again (semantics 10).
            self._finish(held, way, _ACK, acked=True)
            return
        if self._keeper.over(held):
            self._end_late(held, f"{type(outcome).__name__}: {outcome.reason}")
            return
        made = plan(delivery, outcome, way.capabilities, self._clock.now())
        if made.copies:
            store_copies(way, made.copies, partial(self._finish_copied, held, way, outcome, made))
        else:
            self._finish(held, way, made.final)

    # ── copies ───────────────────────────────────────────────────────────────────────────────────────────

    def _finish_copied(
        self, held: HeldLease, way: WayOut, outcome: Outcome, made: Plan, error: BaseException | None
    ) -> None:
        if error is None:
            self._finish(held, way, made.final, dead=isinstance(outcome, DeadLettered))
            return
        if isinstance(outcome, DeadLettered):
            self._dead(held.delivery, outcome)
        logger.error(
            "the copy of %s could not be stored, so it stays in its queue: %s",
            held.delivery.id,
            error,
            extra=fields(held.delivery),
        )
        if self._keeper.over(held):
            self._end_late(held, "nothing was changed")
        else:
            self._finish(held, way, made.instead(error))

    # ── final steps ──────────────────────────────────────────────────────────────────────────────────────

    def _finish(
        self, held: HeldLease, way: WayOut, step: FinalStep, *, acked: bool = False, dead: bool = False
    ) -> None:
        settlement = Settlement(held, way, step, acked=acked, dead=dead)
        if isinstance(step, Release):
            self._keeper.release(held, partial(self._release, settlement))
        else:
            self._keeper.settle(held)
            self._submit(settlement)

    def _release(self, settlement: Settlement, state: State) -> None:
        if state is State.RELEASING:
            self._submit(settlement)
        else:
            self._give_up(settlement.held)

    def _submit(self, settlement: Settlement) -> None:
        try:
            settlement.way.finals.post(settlement, self._take_answer)
        except RuntimeError as error:  # no thread could be started: nothing was sent
            self._try_again(settlement, error)

    def _carry_out(self, settlements: Sequence[Settlement]) -> Sequence[SettleResult]:
        """One call of the driver. Confirmed settlements are counted, all at once; `_take_answer` sees to the others."""
        results = self._driver.settle([settlement.final for settlement in settlements])
        confirmed = [one for one, result in zip(settlements, results, strict=True) if result.error is None]
        if confirmed:
            self._confirm(confirmed)
        return results

    def _confirm(self, settlements: Sequence[Settlement]) -> None:
        settlements[0].way.note(None)
        in_time = self._keeper.note_confirmed([settlement.held for settlement in settlements])
        self._intake.note_settled(settlements[0].way.name, len(settlements))
        if self._acked is None:
            return
        for settlement, was_in_time in zip(settlements, in_time, strict=True):
            if settlement.acked and was_in_time:
                self._payloads.submit(partial(self._acked, settlement.held.delivery))

    def _take_answer(self, entry: Entry[Settlement, SettleResult]) -> None:
        # Runs in the batcher's thread: nothing here may block.
        settlement, error = entry.item, entry.error or entry.result.error
        if error is None or settlement.held.life.state is State.ENDED:
            return  # confirmed
        if isinstance(error, LeaseLost):
            self._note_done(settlement)
            self._keeper.note_loss(settlement.held)
            self._count_late(settlement.held, "its settlement came too late")
            self._intake.note_settled(settlement.way.name)
        else:
            self._try_again(settlement, error)

    def _try_again(self, settlement: Settlement, error: BaseException) -> None:
        held, way = settlement.held, settlement.way
        way.note(error)
        # At once, as its lease may end in the pause before the next try: then it is handed over again.
        self._note_done(settlement)
        # Extended for `settle_timeout` at most, but tried until the lease is over: finished work should not run again.
        if not self._keeper.note_failure(held):
            self._log_given_up(held, error)
            self._intake.note_settled(way.name)
            return
        settlement.backoff = settlement.backoff or Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        with self._lock:
            way.pausing.add(settlement)
        self._retries.submit(partial(self._submit_again, settlement), delay=settlement.backoff.next())
        self._give_up_refused()

    def _submit_again(self, settlement: Settlement) -> None:
        with self._lock:
            if settlement not in settlement.way.pausing:
                return  # given up meanwhile
            settlement.way.pausing.discard(settlement)
        if isinstance(settlement.final.step, Release) and self._keeper.over(settlement.held):
            self._log_given_up(settlement.held, "its lease is over")
            self._give_up(settlement.held)
        else:
            self._submit(settlement)

    # ── ends ─────────────────────────────────────────────────────────────────────────────────────────────

    def _give_up_refused(self) -> None:
        """At a shutdown, gives up what queues refuse, once their time is over; what is in flight is given up later."""
        until = self._refused_until
        if until is None or self._clock.elapsed() < until:
            return
        with self._lock:
            given_up = [
                settlement
                for way in self._ways.values()
                if way.trouble is Trouble.REFUSED
                for settlement in way.pausing
            ]
            for settlement in given_up:
                settlement.way.pausing.discard(settlement)
        for settlement in given_up:
            self._log_given_up(settlement.held, "its queue refuses it")
            self._give_up(settlement.held)

    def _note_done(self, settlement: Settlement) -> None:
        step, delivery = settlement.final.step, settlement.held.delivery
        if settlement.acked or settlement.dead:
            self._done(delivery)
        elif isinstance(step, NativeDeadLetter):
            self._dead(delivery, DeadLettered(reason=step.failure.reason, failure=step.failure))

    def _log_given_up(self, held: HeldLease, why: object) -> None:
        logger.error(
            "the settlement of %s is given up: %s; it comes back when its lease is over",
            held.delivery.id,
            why,
            extra=fields(held.delivery),
        )

    def _count_late(self, held: HeldLease, what: str) -> None:
        with self._lock:
            self.late += 1
        logger.warning(
            "the lease on %s was over before its end was recorded (%s); it may run a second time",
            held.delivery.id,
            what,
            extra=fields(held.delivery),
        )

    def _end_late(self, held: HeldLease, what: str) -> None:
        self._count_late(held, what)
        self._give_up(held)

    def _give_up(self, held: HeldLease) -> None:
        self._keeper.give_up(held)
        self._intake.note_settled(held.delivery.queue)

    def _way(self, name: str) -> WayOut:
        way = self._ways.get(name)
        if way is None:
            with self._lock:
                way = self._ways.get(name)
                if way is None:
                    tell = self._intake.note_failing
                    way = WayOut(self._queue(name), self._carry_out, tell, self._clock, flights=self._flights)
                    self._ways[name] = way
        return way
