"""`Finals`: final steps on their way: each is tried until its lease ends, several at a call; and what the answers mean.

Each queue settles by itself: one that can't be settled is tried again with growing pauses until its leases end, and
holds up no other. What each answer means for the lease is the table of `running.lease_life`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final as Const

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, FinalStep, NativeDeadLetter, PullDriver, Release, SettleResult
from cloudq.core.flights import Entry
from cloudq.core.observing import Observer
from cloudq.core.outcome import DeadLettered
from cloudq.core.owed_notes import pay_all
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.errors import LeaseLost
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.running.backoff import Backoff
from cloudq.running.held import HeldLease
from cloudq.running.lease_life import State
from cloudq.running.log_fields import fields
from cloudq.worker.intake import Intake
from cloudq.worker.leases import LeaseKeeper
from cloudq.worker.way_out import Settlement, Trouble, WayOut

logger = SafeLogger("cloudq.worker")

FIRST_PAUSE: Const = timedelta(milliseconds=200)
LONGEST_PAUSE: Const = timedelta(seconds=5)
# For how long a shutdown still tries to settle what its queue refuses.
REFUSED_AT_SHUTDOWN: Const = timedelta(seconds=3)
# Stores of large payloads are the user's, and may hang: this many deletions at once.
PAYLOAD_DELETIONS: Const = 2
ACK: Const = Ack()


class Finals:
    """Carries final steps out. `acknowledge` waits for its calls; nothing else does.

    Args:
        driver: The backend.
        queue: The handle of a queue by its name.
        keeper: Extends the leases until the settlements are confirmed.
        intake: Counts what is in hand.
        clock: Where the time comes from.
        acked: As the settler's, as all below.
        done: Told of each delivery that comes again though nothing is left to do with it.
        dead: Told of each delivery that comes again and is not to run again.
        flights: How many calls of flushers may settle deliveries of a queue at once.
        observer: Told of each whose settlement came too late; `None`: nobody is.
    """

    def __init__(
        self,
        driver: PullDriver,
        *,
        queue: Callable[[str], CloudQueue],
        keeper: LeaseKeeper,
        intake: Intake,
        clock: Clock,
        acked: Callable[[Delivery], None] | None,
        done: Callable[[Delivery], None],
        dead: Callable[[Delivery, DeadLettered], None],
        flights: int,
        observer: Observer | None = None,
    ) -> None:
        self._driver = driver
        self._flights = flights
        self._observer = observer
        self._acked = acked
        self._done = done
        self._dead = dead
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

    def way(self, name: str) -> WayOut:
        """How the deliveries of a queue leave the worker."""
        way = self._ways.get(name)
        if way is None:
            with self._lock:
                way = self._ways.get(name)
                if way is None:
                    tell = self._intake.stops.note_failing
                    way = WayOut(self._queue(name), self._carry_out, tell, self._clock, flights=self._flights)
                    self._ways[name] = way
        return way

    def finish(self, held: HeldLease, way: WayOut, step: FinalStep, *, acked: bool = False, dead: bool = False) -> None:
        """Starts to carry one out.

        Args:
            held: The delivery.
            way: How its queue settles.
            step: What becomes of it.
            acked: Whether its task succeeded.
            dead: Whether it follows the stored copy of a dead letter.
        """
        settlement = Settlement(held, way, step, acked=acked, dead=dead)
        if isinstance(step, Release):
            self._keeper.release(held, partial(self._release, settlement))
        else:
            self._keeper.settle(held)
            self._submit(settlement)

    def acknowledge(self, way: WayOut, held: Sequence[HeldLease]) -> None:
        """Carries out the Acks of tasks that succeeded, all of one queue, by calls of this thread."""
        begun = self._keeper.settle_together(held)
        if len(begun) < len(held):
            for one in set(held).difference(begun):
                self.give_up(one)
        settlements = [Settlement(one, way, ACK, acked=True) for one in begun]
        for first in range(0, len(settlements), way.capabilities.max_batch):
            batch = settlements[first : first + way.capabilities.max_batch]
            errors: Sequence[BaseException | None]
            try:
                errors = [result.error for result in self._carry_out(batch)]
            except BaseException as error:  # noqa: BLE001 - an SDK may raise anything, and this thread is shared
                errors = [error] * len(batch)
            for settlement, answer in zip(batch, errors, strict=True):
                if answer is not None:
                    self._take_answer(settlement, answer)

    def end_late(self, held: HeldLease, what: str) -> None:
        """Leaves it to the end of its lease, which was over when its task ended."""
        self._count_late(held, what)
        self.give_up(held)

    def give_up_unsettled(self, held: HeldLease, error: Exception) -> None:
        """Leaves it to the end of its lease, after a mistake."""
        logger.error(
            "%s can't be settled; it comes back when its lease is over",
            held.delivery.id,
            exc_info=error,
            extra=fields(held.delivery),
        )
        self.give_up(held)

    def give_up(self, held: HeldLease) -> None:
        """Leaves it to the end of its lease."""
        self._keeper.give_up(held)
        self._intake.note_settled(held.delivery.queue)

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

    # ── tries and answers ─────────────────────────────────────────────────────────────────────────────────

    def _release(self, settlement: Settlement, state: State) -> None:
        if state is State.RELEASING:
            self._submit(settlement)
        else:
            self.give_up(settlement.held)

    def _submit(self, settlement: Settlement) -> None:
        try:
            settlement.way.finals.post(settlement, self._land)
        except RuntimeError as error:  # no thread could be started: nothing was sent
            self._try_again(settlement, error)

    def _carry_out(self, settlements: Sequence[Settlement]) -> Sequence[SettleResult]:
        """One call of the driver. Confirmed settlements are counted, all at once; `_take_answer` sees to the others.

        What is owed of them is noted before: what is acknowledged doesn't come again.
        """
        if owed := [one.held.owed for one in settlements if one.held.owed is not None]:
            pay_all(owed)
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

    def _land(self, entry: Entry[Settlement, SettleResult]) -> None:
        # Runs in the batcher's thread: nothing here may block.
        self._take_answer(entry.item, entry.error or entry.result.error)

    def _take_answer(self, settlement: Settlement, error: BaseException | None) -> None:
        if error is None or settlement.held.life.state is State.ENDED:
            return  # confirmed
        if isinstance(error, LeaseLost):
            self._note_done(settlement)
            self._keeper.note_loss(settlement.held)
            self._count_late(settlement.held, "its settlement came too late")
            if self._observer is not None:
                self._observer.lease_lost(settlement.held.delivery)
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
            self.give_up(settlement.held)
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
            self.give_up(settlement.held)

    def _note_done(self, settlement: Settlement) -> None:
        step, delivery, owed = settlement.final.step, settlement.held.delivery, settlement.held.owed
        if owed is not None:
            owed.pay()  # where no thread carried anything out; when it comes again nobody would
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
