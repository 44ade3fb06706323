"""What edges that a host invokes have in common: the app, opened once, and a delivery that is run to its end.

Used by `cloudq.aws_lambda` and `cloudq.azure_functions`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, Generic, TypeVar

from cloudq.app import App
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import FinalStep, Release
from cloudq.core.outcome import DUPLICATE, Acked, DeadLettered, Outcome, Snoozed, Why
from cloudq.core.policy import DELIVERIES_WITHOUT_LIMIT
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import ConfigurationError
from cloudq.flow.means import Edge
from cloudq.running.awaited_runs import AwaitedRun, AwaitedRuns
from cloudq.running.events import Tally
from cloudq.running.limits import refuse_limits
from cloudq.running.processing import check_store, processor_of
from cloudq.running.runs import runs_of
from cloudq.running.time_limits import ThreadTimeLimits

logger = SafeLogger("cloudq")

T = TypeVar("T")

MOST_AT_ONCE: Final = 100


class Once(Generic[T]):
    """Makes something at the first call and gives it at every later one. An error is raised again, not kept."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: list[T] = []

    def __call__(self) -> T:
        """What was made."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


class HostRunner:
    """Runs an app's tasks: plain ones in the thread that asks, async ones on one event loop, kept for the next ones.

    Args:
        app: The app; its modules are imported and its tasks checked.
        freezes: Whether the host has the process stand still between invocations. Claims of idempotency keys then last
            until the invocation's end and a little longer, and aren't renewed.

    Raises:
        ConfigurationError: A module can't be imported; or a task declares an idempotency key, and there is no store.
        TaskDefinitionError: A type can't travel as JSON.
        UnsupportedError: A task or a queue has a limit that can't be kept here.
    """

    def __init__(self, app: App, *, freezes: bool = False) -> None:
        app.load()
        check_store(app)
        refuse_limits(app, Edge.LAMBDA if freezes else Edge.FUNCTIONS)
        self.app = app
        self._tally = Tally(observer=app.runtime.observer, clock=app.clock)
        self._runs = runs_of(app)
        # A delivery handed back unstarted, or with a batch, counts as handed over (semantics 16). A message that kills
        # the host is still stopped in the end.
        self._processor = processor_of(
            app, ThreadTimeLimits(app.clock), least_deliveries=DELIVERIES_WITHOUT_LIMIT, freezes=freezes, limited=True
        )
        self._awaited = AwaitedRuns(self._processor, self._runs)
        # Whose task hasn't ended, those that were given up included. Each step on it is atomic.
        self._going_on: set[AwaitedRun] = set()

    @property
    def clock(self) -> Clock:
        """Where the time comes from."""
        return self.app.clock

    def time_limit(self, delivery: Delivery) -> timedelta | None:
        """The time limit of the delivery's task; of one that can't run, as it takes no time, none at all."""
        handler = self._processor.handler_for(delivery)
        return timedelta(0) if handler is None else handler.time_limit

    def run(self, run: AwaitedRun) -> Outcome | None:
        """Runs a delivery's task to its end, in this thread or on the loop. `None`: it was given up meanwhile.

        It isn't run where an earlier run of its message, or of its ordering key, still goes on in this process: then it
        comes back later, uncounted. Nor where an earlier run has done its work and the host couldn't be told.
        """
        unrun = self._begin(run)
        if unrun is not None:
            run.end(unrun, 0.0)
            if isinstance(unrun, Acked):
                self._tally.note_unrun(run.delivery, unrun.ending)
            return unrun
        try:
            self._tally.begin(run.delivery)
            self._awaited.run(run)
        except BaseException:
            run.leave(succeeded=False)
            raise
        if run.outcome is not None:
            self._tally.count(run.delivery, run.outcome, run.seconds)
        else:
            self._tally.give_up(run.delivery)
        return run.outcome

    def _begin(self, run: AwaitedRun) -> Outcome | None:
        """What becomes of a delivery that may not run now; `None`: its run has begun."""
        delivery = run.delivery
        if self._runs.has_done(delivery):
            logger.info("%s was done by an earlier run here; it is acknowledged", delivery.id)
            return DUPLICATE
        lease = max(timedelta(0), run.ends - run.since)

        def heard(done: bool) -> None:
            # Nobody waits for it: its host would pay for the time. So it is to be known when this one comes again.
            if done and not self._runs.has_done(delivery):
                self._runs.note_done(delivery, lease)

        begun = self._runs.begin(delivery, lost=run.lost, lease=lease, ended=heard)
        if begun is None:
            self._tell_of_lost_lease(delivery)
            logger.info("%s was handed over again while it, or its key, runs here; it comes back later", delivery.id)
            return Snoozed(
                delay=self._runs.turn_away(delivery), why=Why.UNSTARTED, reason="an earlier run of it still goes on"
            )
        self._going_on.add(run)

        def leave(succeeded: bool) -> None:
            self._going_on.discard(run)
            self._runs.end(begun, succeeded=succeeded)

        run.left = leave
        return None

    def _tell_of_lost_lease(self, again: Delivery) -> None:
        """Tells the run in the way, if its lease may be over: the message is here again, so it is.

        No host says so. A run that hangs is in the way until its lease has been lost for long (see `Runs.begin`).
        """
        now = self.clock.elapsed()
        for run in self._going_on.copy():
            if (run.delivery.queue, run.delivery.id) == (again.queue, again.id) and run.over(now):
                run.came_again = True
                run.lost.set()

    def note_dead(self, delivery: Delivery, outcome: Outcome, step: FinalStep) -> None:
        """Remembers a delivery whose dead letter couldn't be stored: it had its last run here."""
        if isinstance(outcome, DeadLettered) and isinstance(step, Release):
            self._runs.note_dead(delivery, outcome, max(timedelta(0), delivery.lease.ends - self.clock.elapsed()))

    def leave_behind(self, stuck: Sequence[AwaitedRun]) -> None:
        """Leaves runs behind that didn't stop. An async one blocks the loop, so the next ones get another loop."""
        if any(self._awaited.is_async(run.delivery) for run in stuck):
            self._awaited.leave()


def check_concurrency(concurrency: int) -> None:
    """Refuses what is no number of tasks at once.

    Raises:
        ConfigurationError: It is out of bounds.
    """
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or not 1 <= concurrency <= MOST_AT_ONCE:
        raise ConfigurationError(f"concurrency is {concurrency!r}, not a number from 1 to {MOST_AT_ONCE}")
