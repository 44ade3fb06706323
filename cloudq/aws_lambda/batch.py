"""`Batch`: one invocation. Runs its records in threads, settles what failed, and says which stay in the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final

from cloudq.aws_lambda.budget import Budget
from cloudq.aws_lambda.lanes import Lanes
from cloudq.core.delivery import Lease
from cloudq.core.driver import Ack, FinalStep
from cloudq.core.driver import Final as FinalCall
from cloudq.core.outcome import Acked, Outcome, Snoozed
from cloudq.core.safe_log import SafeLogger
from cloudq.drivers.sqs.event_source import Arrival
from cloudq.drivers.sqs.limits import MAX_BATCH
from cloudq.errors import LeaseLost
from cloudq.queues.final_steps import final_steps
from cloudq.running.awaited_runs import AwaitedRun

if TYPE_CHECKING:
    from cloudq.aws_lambda.edge import Edge

logger = SafeLogger("cloudq.aws_lambda")

_ACK: Final = Ack()


class Batch:
    """One invocation's records.

    ```
     threads     take ─▶ run ─▶ done, or failed ─▶ ten of them: copies stored, visibility changed
     main        waits for them, at most until `unwound`; then the rest of the failures, until `answer_by`; answers
    ```

    A record is left out of the answer, so that the service deletes it, only once its task is done or its copy stored.

    Args:
        edge: The app, opened.
        arrivals: The records.
        budget: The invocation's time.
        concurrency: The most tasks that run at once.
        delete: Whether what is done is deleted here, since the answer won't be looked at if something failed.
    """

    def __init__(
        self, edge: Edge, arrivals: Sequence[Arrival], budget: Budget, *, concurrency: int, delete: bool
    ) -> None:
        self._edge = edge
        self._arrivals = arrivals
        self._budget = budget
        self._delete = delete
        self._changed = Condition()
        # All below is guarded by the condition's lock.
        self._lanes = Lanes([arrival.group for arrival in arrivals])
        self._threads = min(concurrency, len(self._lanes))
        self._running: dict[int, AwaitedRun] = {}
        self._over = False
        self._unstarted = 0
        self._done: set[int] = set()
        self._pending: list[tuple[int, Outcome]] = []
        self._settled = False

    def run(self) -> list[int]:
        """Runs the batch. Returns the places of the records that stay in the queue."""
        self._start()
        with self._changed:
            self._wait(lambda: self._threads == 0, self._budget.unwound)
            self._over = True
            self._changed.notify_all()
            stuck = list(self._running.values())
            unstarted = self._unstarted + self._lanes.left
            rest = bool(self._pending) or (self._delete and len(self._done) < len(self._arrivals))
        for run in stuck:
            run.give_up()
            logger.error(
                "%s didn't stop at the end of the function's time; it is left behind and comes back",
                run.delivery.id,
            )
        self._edge.leave_behind(stuck)
        if rest:
            Thread(target=self._settle_the_rest, name="cloudq-settle", daemon=True).start()
        with self._changed:
            if rest and not self._wait(lambda: self._settled, self._budget.answer_by):
                logger.error("the time is over before all failures were settled; the rest comes back unchanged")
            if unstarted:
                logger.warning("%d records were not started in the time that was left", unstarted)
            return [place for place in range(len(self._arrivals)) if place not in self._done]

    def _start(self) -> None:
        wanted = self._threads
        for number in range(wanted):
            try:
                # Within the invocation's context, in which a tracer has its span.
                work = partial(copy_context().run, self._work)
                Thread(target=work, name=f"cloudq-task-{number + 1}", daemon=True).start()
            except RuntimeError:
                # No more threads can be started: those that are there do the work.
                if number == 0:
                    raise
                with self._changed:
                    self._threads -= wanted - number
                    self._changed.notify_all()
                return

    def _wait(self, predicate: Callable[[], bool], until: timedelta) -> bool:
        """Waits for what another thread brings about. Called with the lock held."""
        while not predicate():
            left = until - self._edge.clock.elapsed()
            if left.total_seconds() <= 0:
                return False
            self._edge.clock.wait(self._changed, left)
        return True

    # ── in the threads ───────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> None:
        try:
            while (place := self._next()) is not None:
                self._run_one(place)
        finally:
            with self._changed:
                self._threads -= 1
                self._changed.notify_all()

    def _next(self) -> int | None:
        with self._changed:
            while not self._over and not self._lanes.finished:
                place = self._lanes.take()
                if place is None:
                    self._changed.wait()
                    continue
                limit = self._edge.time_limit(self._arrivals[place].delivery)
                if self._budget.allows(limit, self._edge.clock.elapsed()):
                    return place
                self._unstarted += 1 + self._lanes.note_failure(place)
                self._changed.notify_all()
            return None

    def _run_one(self, place: int) -> None:
        run = AwaitedRun(self._arrivals[place].delivery, self._edge.clock, until=self._budget.end)
        with self._changed:
            self._running[place] = run
        outcome = self._edge.run(run)
        if outcome is not None:
            self._end(place, outcome)

    def _end(self, place: int, outcome: Outcome) -> None:
        if isinstance(outcome, Acked):
            self._leave_out([place], running=True)
            return
        with self._changed:
            if not self._over:
                self._pending.append((place, outcome))
            # On a FIFO queue the group's next waits to hear whether this one's copy is stored, if it has one.
            waited_for = self._arrivals[place].group is not None and not isinstance(outcome, Snoozed)
            now = waited_for or len(self._pending) >= MAX_BATCH
        if now:
            self._settle()
        with self._changed:
            self._running.pop(place, None)
            if place in self._done:
                self._lanes.finish(place)
            else:
                self._lanes.note_failure(place)
            self._changed.notify_all()

    def _leave_out(self, places: Sequence[int], *, running: bool = False) -> None:
        with self._changed:
            self._done.update(places)
            if running:
                for place in places:
                    self._running.pop(place, None)
                    self._lanes.finish(place)
                self._changed.notify_all()

    # ── settling ─────────────────────────────────────────────────────────────────────────────────────────

    def _settle_the_rest(self) -> None:
        try:
            self._settle()
            if self._delete:
                self._delete_the_done()
        finally:
            with self._changed:
                self._settled = True
                self._changed.notify_all()

    def _settle(self) -> None:
        """Carries out what failed: copies first, then new visibility timeouts. Never raises."""
        with self._changed:
            pending, self._pending = self._pending, []
        by_queue: dict[str, list[tuple[int, Outcome]]] = {}
        for place, outcome in pending:
            by_queue.setdefault(self._arrivals[place].delivery.queue, []).append((place, outcome))
        for ended in by_queue.values():
            try:
                self._settle_queue(ended)
            except Exception:  # the backend can't be opened, say: the records come back
                logger.exception("%d failed records are not settled; they come back unchanged", len(ended))

    def _settle_queue(self, ended: Sequence[tuple[int, Outcome]]) -> None:
        places = [place for place, _ in ended]
        arrivals = [self._arrivals[place] for place in places]
        # First the URL: the queue's and its dead-letter queue's then take no call to be found.
        leases = self._edge.located(arrivals)
        queue = self._edge.app.queue(arrivals[0].delivery.queue)
        steps = final_steps(
            queue,
            [(arrival.delivery, outcome) for arrival, (_, outcome) in zip(arrivals, ended, strict=True)],
            self._edge.clock.now(),
        )
        for arrival, (_, outcome), step in zip(arrivals, ended, steps, strict=True):
            self._edge.note_dead(arrival.delivery, outcome, step)
        # Deleting is the service's, by what the answer leaves out.
        self._leave_out([place for place, step in zip(places, steps, strict=True) if isinstance(step, Ack)])
        self._call([(lease, step) for lease, step in zip(leases, steps, strict=True) if not isinstance(step, Ack)])

    def _delete_the_done(self) -> None:
        with self._changed:
            done = sorted(self._done)
        if not done or len(done) == len(self._arrivals):
            return  # the batch fails, or succeeds, as a whole
        leases = self._edge.located([self._arrivals[place] for place in done])
        self._call([(lease, _ACK) for lease in leases])

    def _call(self, steps: Sequence[tuple[Lease, FinalStep]]) -> None:
        finals = [FinalCall(lease=lease, step=step) for lease, step in steps]
        for final, result in zip(finals, self._edge.driver.settle(finals) if finals else (), strict=True):
            if result.error is not None and not isinstance(result.error, LeaseLost):
                what = "deleted, so it runs again" if isinstance(final.step, Ack) else "delayed, so it comes back later"
                logger.error("a record of queue %r couldn't be %s: %s", final.lease.queue, what, result.error)
