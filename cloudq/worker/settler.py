"""`Settler`: carries outcomes out. Copies are stored first, then the final step.

```
 executor       settle(held, outcome) ─▶ plan()
 copy flushers                             └─▶ copies stored ─┐          (Batcher over CloudQueue.store_copies)
 final flushers                                               └─▶ final ─▶ confirmed ─▶ lease ended, slot's books
                                                                 (Batcher over PullDriver.settle)
 executor       settle_together(series) ─▶ Acks, by a call of its own ─▶ confirmed ─▶ the same
```

It decides what is to be done, which `Finals` carries out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import PullDriver, Release
from cloudq.core.observing import Observer
from cloudq.core.outcome import ACKED, Acked, DeadLettered, Outcome, Snoozed, Why
from cloudq.core.plan import Plan, plan
from cloudq.core.safe_log import SafeLogger
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.running.held import HeldLease
from cloudq.running.log_fields import fields
from cloudq.worker.copies import store_copies
from cloudq.worker.finals import ACK, Finals
from cloudq.worker.intake import Intake
from cloudq.worker.leases import LeaseKeeper
from cloudq.worker.series import Series
from cloudq.worker.way_out import FLIGHTS, Trouble, WayOut

logger = SafeLogger("cloudq.worker")


class Settler:
    """Settles what the handlers and the shutdown leave behind. Never raises; only `settle_together` waits for a call.

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
        observer: As the finals'.
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
        observer: Observer | None = None,
    ) -> None:
        self._dead = dead
        self._keeper = keeper
        self._clock = clock
        self._finals = Finals(
            driver,
            queue=queue,
            keeper=keeper,
            intake=intake,
            clock=clock,
            acked=acked,
            done=done,
            dead=dead,
            flights=flights,
            observer=observer,
        )

    @property
    def late(self) -> int:
        """How many leases were over before the end of their tasks was recorded."""
        return self._finals.late

    def settle(self, held: HeldLease, outcome: Outcome, series: Series | None = None) -> None:
        """Starts to carry out what became of a delivery whose handler has ended.

        Args:
            held: The delivery.
            outcome: What became of it.
            series: What may keep it, to be settled together with others, if it needs no more than an Ack that nobody
                waits for. The next message of an ordering key does; and while settlements fail nothing is received.
        """
        try:
            if series is not None and isinstance(outcome, Acked) and held.delivery.group is None:
                way = self._finals.way(held.delivery.queue)
                if way.trouble is Trouble.NONE:
                    series.keep(held, way.capabilities.max_batch)
                    return
            self._keeper.note_handler_ended(held)
            self._settle(held, outcome)
        except Exception as error:  # noqa: BLE001 - a mistake costs one delivery, not the thread
            self._finals.give_up_unsettled(held, error)

    def settle_together(self, held: Sequence[HeldLease]) -> bool:
        """Settles deliveries of one queue whose tasks have succeeded, by calls of this thread.

        Where another thread makes such a call, as `settle`. Returns whether it has made one itself.
        """
        way = self._finals.way(held[0].delivery.queue)
        if not way.begin_call():
            for one in held:
                self.settle(one, ACKED)
            return False
        try:
            self._finals.acknowledge(way, held)
        finally:
            way.end_call()
        return True

    def give_back(self, held: HeldLease, delay: timedelta) -> None:
        """Gives back what was not started here: by a copy or a release, as `plan()` says, uncounted."""
        if self._keeper.over(held):
            self._finals.give_up(held)  # its lease is lost, which the keeper has logged
        else:
            self.settle(held, Snoozed(delay=delay, why=Why.UNSTARTED, reason="not started here"))

    def release(self, held: Iterable[HeldLease], *, counted: bool) -> None:
        """Gives back at once a delivery that won't be worked on here. One whose lease is over comes back by itself.

        Args:
            held: What is given back.
            counted: Whether it was started, and so used up an attempt.
        """
        step = Release(counted=counted)
        for one in held:
            self._finals.finish(one, self._finals.way(one.delivery.queue), step)

    def shut_down(self) -> None:
        """From now on, a queue that refuses settlements is tried for three seconds more; then they are given up."""
        self._finals.shut_down()

    def catch_up(self) -> None:
        """To be called now and then: tries again to start a thread for what waits, where that failed."""
        self._finals.catch_up()

    def close(self) -> None:
        """Drops what is still to be tried again."""
        self._finals.close()

    def _settle(self, held: HeldLease, outcome: Outcome) -> None:
        delivery = held.delivery
        way = self._finals.way(delivery.queue)
        if isinstance(outcome, Acked):
            # Tried even if the lease is over: finished work should not run again (semantics 10).
            self._finals.finish(held, way, ACK, acked=True)
            return
        if self._keeper.over(held):
            self._finals.end_late(held, f"{type(outcome).__name__}: {outcome.reason}")
            return
        made = plan(delivery, outcome, way.capabilities, self._clock.now())
        if made.copies:
            store_copies(way, made.copies, partial(self._finish_copied, held, way, outcome, made))
        else:
            self._finals.finish(held, way, made.final)

    # ── copies ───────────────────────────────────────────────────────────────────────────────────────────

    def _finish_copied(
        self, held: HeldLease, way: WayOut, outcome: Outcome, made: Plan, error: BaseException | None
    ) -> None:
        if error is None:
            self._finals.finish(held, way, made.final, dead=isinstance(outcome, DeadLettered))
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
            self._finals.end_late(held, "nothing was changed")
        else:
            self._finals.finish(held, way, made.instead(error))
