"""`Worker`: the parts put together, from the first poll to the last release.

```
 pollers ─▶ intake ─▶ executor ─▶ settler ─▶ backend
      └────────▶ lease keeper ◀───────┘
```
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cloudq.app import App
from cloudq.core.driver import LeaseWatcher, PullDriver
from cloudq.core.ending import Ending
from cloudq.core.outcome import Acked, Outcome, Snoozed
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.running.counting import metrics_of
from cloudq.running.events import Finished, Snapshot, Tally
from cloudq.running.held import HeldLease
from cloudq.running.main_loop import MainLoop
from cloudq.running.processing import check_store, processor_of, refuse_strangers
from cloudq.running.runs import runs_of
from cloudq.running.time_limits import ThreadTimeLimits
from cloudq.worker.burst_end import code_at_end
from cloudq.worker.executor_choice import executor_for
from cloudq.worker.executors import Executor
from cloudq.worker.intake import Intake
from cloudq.worker.lease_thread import LeaseThread
from cloudq.worker.leases import LeaseKeeper
from cloudq.worker.limiting import limiting_of
from cloudq.worker.open_polls import reach
from cloudq.worker.pausing import watch_of
from cloudq.worker.poller import Poller
from cloudq.worker.series import Series
from cloudq.worker.settings import LEASE_PER_WAIT, WorkerSettings, pull_driver, queue_leases
from cloudq.worker.settler import Settler
from cloudq.worker.shutdown import Shutdown
from cloudq.worker.snoozes import Snoozes
from cloudq.worker.starvation import Starvation
from cloudq.worker.strangers import strangers_of
from cloudq.worker.verdicts import Verdicts
from cloudq.worker.watchdog import Watchdog
from cloudq.worker.way_out import FLIGHTS

if TYPE_CHECKING:
    from cloudq.worker.serving import Serving

logger = SafeLogger("cloudq.worker")

CALLS_AT_ONCE: Final = 4  # of each kind: those of a store that doesn't answer must cost no lease
# As the command line says of a backend that can't be used.
UNREACHABLE: Final = 3
FORKED: Final = 70  # EX_SOFTWARE, for a fork that a task forgot to end


class Worker:
    """Runs an app's tasks until it is stopped.

    Signals: the first SIGTERM or SIGINT stops polling, gives back at once what wasn't started, lets what runs finish
    for `grace`, then releases that too; polls under way are awaited. A second one releases everything now. Handlers
    that never return are left behind in daemon threads, which end with the process; a program that goes on after `run`
    keeps them.

    Args:
        app: Whose tasks to run.
        settings: How.
        on_event: Called for each finished task, in the thread that ran it.

    Raises:
        ConfigurationError: It can't work like this: no queue, a backend that pushes, a lease it doesn't grant.
        BackendError: The backend can't be opened.
    """

    def __init__(
        self, app: App, settings: WorkerSettings | None = None, *, on_event: Callable[[Finished], None] | None = None
    ) -> None:
        self.app = app
        self.settings = settings = settings or WorkerSettings()
        self.queues = settings.weights(app.runtime.declared_weights())
        refuse_strangers(app, self.queues)
        check_store(app)
        self._clock = app.clock
        self._metrics = None if settings.metrics is None else metrics_of(app)  # before others ask who observes
        self.leases = queue_leases(settings, self.queues, app.runtime.handlers.values())
        self._driver: PullDriver = pull_driver(app.driver(), self.leases)
        self._pid = os.getpid()
        self._loop = MainLoop(self._clock)
        self._stopping = False
        self._tally = Tally(on_event, observer=app.runtime.observer, clock=self._clock)
        self._renewals = Threads("cloudq-renew", CALLS_AT_ONCE, clock=self._clock)
        self._store_calls = Threads("cloudq-store", CALLS_AT_ONCE, clock=self._clock)
        self._keeper = LeaseKeeper(
            self._driver.extend,
            lease=self.leases.__getitem__,
            settle_timeout=settings.settle_timeout,
            capabilities=self._driver.capabilities,
            clock=self._clock,
            run=self._renewals.submit,
            watch=self._driver.watch if isinstance(self._driver, LeaseWatcher) else None,
            observer=app.runtime.observer,
        )
        self._keeper_thread = LeaseThread(self._keeper, self._clock)
        self._runs = runs_of(app)
        self._verdicts = Verdicts(self._runs, self.leases)
        self._intake = Intake(
            self.queues,
            leases=self.leases,
            reach={queue: reach(self._driver.capabilities(queue), settings.polls) for queue in self.queues},
            slots=settings.slots,
            runs=self._runs,
            clock=self._clock,
            strict=settings.strict,
            prefetch=settings.prefetch,
            max_tasks=settings.max_tasks,
            burst=settings.burst,
            on_change=self._loop.look_again,
        )
        self._settler = Settler(
            self._driver,
            queue=app.queue,
            keeper=self._keeper,
            intake=self._intake,
            clock=self._clock,
            acked=app.runtime.payload_deleter(),
            done=self._verdicts.note_done,
            dead=self._verdicts.note_dead,
            # What several polls bring takes as many calls to settle.
            flights=max(FLIGHTS, settings.polls),
            observer=app.runtime.observer,
        )
        self._time_limits = ThreadTimeLimits(self._clock)
        self._processor = processor_of(app, self._time_limits)
        self._strangers = strangers_of(app, settings, self.queues, believed=self._processor.believes)
        self._executor: Executor = executor_for(
            app,
            settings,
            self._intake,
            self._processor,
            self._settler,
            queues={queue: self._driver.capabilities(queue) for queue in self.queues},
            began=self._tally.begin,
            ended=self._end_task,
            cannot_start=self._loop.fail,
            metrics=self._metrics,
            clock=self._clock,
        )
        self._limiting = limiting_of(
            app,
            self._intake,
            self._driver,
            self.leases,
            believed=self._processor.believes,
            give_back=self._settler.give_back,
            started=self._executor.more,
            run=self._store_calls.submit,
        )
        self._watchdog = Watchdog([self._make_poller(queue) for queue in self.queues], self._make_poller, self._clock)
        self._shutdown = Shutdown(
            settings,
            self.leases,
            driver=self._driver,
            intake=self._intake,
            watchdog=self._watchdog,
            executor=self._executor,
            settler=self._settler,
            next_wish=self._loop.next_wish,
            clock=self._clock,
        )
        self._serving: Serving | None = None
        self._starvation = Starvation(self._intake, self._executor, children=settings.processes > 0, clock=self._clock)
        self._snoozes = Snoozes(
            self._intake,
            capabilities=self._driver.capabilities,
            watch=self._processor.store_watch,
            burst=settings.burst,
            count=self._tally.count,
            give_up=self._tally.give_up,
            run=self._store_calls.submit,
            clock=self._clock,
        )

    def run(self, *, signals: bool = True) -> int:
        """Works until it is stopped, or is done. Catches SIGTERM and SIGINT if in the main thread.

        Args:
            signals: Whether to. If not, only `stop` stops it: in a thread of a program that has signals of its own.

        Returns:
            The exit code: 0 done; 1 failed, or a burst left messages of tasks that it doesn't know; 3 see `fail_fast`.
        """
        return self._loop.run(
            start=self._start, look=self._look, shut_down=self._shut_down, close=self._close, signals=signals
        )

    def stop(self, *, now: bool = False) -> None:
        """As the first signal does, or (`now`) the second. Returns at once; `run` returns when it is done."""
        self._loop.stop(now=now)

    def snapshot(self) -> Snapshot:
        """The counts at this moment."""
        hand = self._intake.in_hand()
        return Snapshot(
            **self._tally.counts() | {"lease_lost": self._keeper.lost_count + self._settler.late},
            started=hand.started,
            pollers_replaced=self._watchdog.replaced,
            children_died=self._executor.died,
            waiting=hand.waiting,
            running=hand.running,
            settling=hand.settling,
        )

    @property
    def health_address(self) -> tuple[str, int] | None:
        """Where the health pages are served, once `run` has begun; the port is the real one."""
        return self._serving.health.address if self._serving and self._serving.health else None

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """The same for the metrics."""
        return self._serving.metrics.address if self._serving and self._serving.metrics else None

    def _start(self) -> None:
        if self.settings.health is not None or self._metrics is not None:
            self._serving = self._serve()
        self._keeper_thread.start()
        self._executor.start()
        if self._limiting is not None:
            self._limiting.start()
        self._watchdog.start()
        if self._serving is not None:
            self._serving.start()

    def _look(self) -> int | None:
        if self.settings.fail_fast and self._watchdog.refused():
            return UNREACHABLE
        if self._intake.finished():
            left = [*(one.left for one in self._strangers.values()), self._snoozes.left]
            return code_at_end(self.settings.burst, left)
        self._look_after()
        return None

    def _shut_down(self) -> None:
        self._stopping = True
        self._shutdown.run(self._close_intake)

    def _look_after(self) -> None:
        """Looks after what no event announces: pollers, what waits, threads that couldn't be started."""
        try:
            self._watchdog.look()
            self._settle_unrun()
            for held, delay in self._intake.take_stale():
                self._give_back([held], delay)
            self._settler.catch_up()
            self._starvation.look()
            self._snoozes.look()
            self._executor.more()
        except Exception:
            logger.exception("the worker's regular check failed")

    def _close_intake(self) -> None:
        self._give_back([*self._intake.close(), *self._intake.holds.close()])
        self._settle_unrun()

    def _settle_unrun(self) -> None:
        """Settles redeliveries of what an earlier run has done, or what had its last."""
        for held, outcome in self._intake.take_done_elsewhere():
            self._verdicts.tell(held.delivery, outcome)
            if isinstance(outcome, Acked):  # the end of a verdict was counted when it was made
                self._tally.note_unrun(held.delivery, outcome.ending)
            self._settler.settle(held, outcome)

    def _close(self) -> None:
        self._stopping = True
        self._intake.close()
        self._intake.holds.close()
        self._watchdog.stop()
        self._executor.stop()
        if self._limiting is not None:
            self._limiting.stop(self._shutdown.patience())
        self._settler.close()
        self._keeper_thread.stop()
        self._renewals.close()
        self._store_calls.close()
        self._time_limits.close()
        if self._serving is not None:
            self._serving.stop()

    def _serve(self) -> Serving:
        from cloudq.worker.outages import Outages
        from cloudq.worker.serving import Serving

        return Serving(
            self.settings,
            self._watchdog,
            Outages(self._watchdog, self._intake.stops, self._snoozes, self._keeper),
            self._metrics,
            keeper_alive=lambda: self._keeper_thread.alive,
            starved=self._starvation.starved,
            stopping=lambda: self._stopping,
            snapshot=self.snapshot,
            clock=self._clock,
        )

    def _make_poller(self, queue: str) -> Poller:
        lease = self.leases[queue]
        return Poller(
            queue,
            self._driver,
            intake=self._intake,
            keeper=self._keeper,
            arrived=self._executor.more,
            give_back=self._give_back,
            strangers=self._strangers[queue],
            wait=min(self.settings.poll_wait, lease / LEASE_PER_WAIT),
            lease=lease,
            clock=self._clock,
            most=self.settings.polls,
            refuse_paused=watch_of(queue, self._driver, self.app.runtime.stores, self._clock),
            observer=self.app.runtime.observer,
        )

    def _give_back(self, held: Iterable[HeldLease], delay: timedelta = timedelta(0)) -> None:
        """Gives back a delivery that was not started here, always by `plan()`'s uncounted row."""
        for one in held:
            self._tally.note(Ending.RELEASED)
            self._settler.give_back(one, delay)

    def _end_task(self, held: HeldLease, outcome: Outcome, seconds: float, series: Series | None = None) -> None:
        """The handler is done with a delivery: the slot is free, the rest is the settler's, now or with its series."""
        if os.getpid() != self._pid:
            # A handler forked and came back from both: what is in hand here is the other's.
            os._exit(FORKED)
        if held.limits and self._limiting is not None:
            self._limiting.leave(held, outcome)
        if isinstance(outcome, Snoozed):
            left = self._snoozes.take(held, outcome, seconds)
            if left is None:
                return
            outcome = left
        if self._intake.end(held, succeeded=isinstance(outcome, Acked)):
            self._tally.count(held.delivery, outcome, seconds)
            self._strangers[held.delivery.queue].note_end(held.delivery, outcome)
            self._settler.settle(held, outcome, series)
        else:
            self._tally.give_up(held.delivery)  # a shutdown has released it
