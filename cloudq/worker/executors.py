"""Executors: what runs the tasks. Threads for sync ones, one event loop for async ones; processes are in `children`."""

from __future__ import annotations

import contextvars
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.outcome import ACKED, Acked, Outcome
from cloudq.core.owed_notes import OWED, OwedNotes
from cloudq.core.processor import Processor
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.running.event_loop import LazyLoop
from cloudq.running.held import HeldLease
from cloudq.tasks.hooks import Hooks, Process
from cloudq.worker.intake import Intake
from cloudq.worker.lookout import Lookout
from cloudq.worker.pace import Pace
from cloudq.worker.series import Series
from cloudq.worker.settler import Settler

logger = SafeLogger("cloudq.worker")


class Executor(Protocol):
    """Takes work from the intake until it is closed."""

    @property
    def starved(self) -> bool:
        """Whether nothing can start at the moment: the machine can start no thread, or no process."""
        ...

    @property
    def died(self) -> int:
        """How many processes have ended before their task did."""
        ...

    def start(self) -> None:
        """Starts to take."""
        ...

    def more(self) -> None:
        """Makes sure that new waiting deliveries are taken. Called when there may be some. Never raises."""
        ...

    def stop(self) -> None:
        """Ends the tasks that can be ended. The others run on; their outcomes no longer count."""
        ...


class EndedInSeries(Protocol):
    """Told the outcome of each task, for how many seconds it ran, and what of its thread's series it may wait with."""

    def __call__(self, held: HeldLease, outcome: Outcome, seconds: float, series: Series | None = None) -> None:
        """Takes note; the outcome is kept in `series`, or settled."""
        ...


class ThreadExecutor:
    """Runs sync tasks on up to `threads` daemon threads, and passes async ones to an event loop.

    Short tasks are worked off by one thread, one after the other, and settled together (see `series`); for tasks that
    take longer, or wait for something, a thread each.

    Daemon threads, because a handler that never returns must not keep the process alive once the worker has left.

    Args:
        intake: Where the work comes from; its slots bound threads and coroutines together.
        processor: Turns deliveries into outcomes.
        settler: Settles what a series has kept.
        threads: The most threads that take from the intake.
        queues: How many queues there are: of each, one thread more may be busy with a settlement.
        ended: Told each outcome.
        clock: Where the time comes from.
        began: Told of each delivery whose work begins.
        hooks: Functions of the program that are called before the first task and after the last one.
    """

    def __init__(
        self,
        intake: Intake,
        processor: Processor[Any],
        settler: Settler,
        *,
        threads: int,
        queues: int,
        ended: EndedInSeries,
        clock: Clock,
        began: Callable[[Delivery], None] = lambda _: None,
        hooks: Hooks | None = None,
    ) -> None:
        self._intake = intake
        self._hooks = Process(hooks or Hooks())
        self._processor = processor
        self._settler = settler
        self._most = threads
        self._ended = ended
        self._began = began
        self._clock = clock
        self._threads = Threads("cloudq-task", threads + queues)
        self._loop = LazyLoop(processor, self._end_async)
        self._lookout = Lookout(intake, settle=partial(settler.settle, outcome=ACKED), more=self.more, clock=clock)
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)  # of the tasks, by name
        self._calls = Pace(short=True)  # of the settlements that threads of tasks make
        self._lock = threading.Lock()
        # Guarded by the lock: those of the threads that take from the intake, those that are being started included.
        self._takers: set[Series] = set()

    @property
    def died(self) -> int:
        """None: threads don't."""
        return 0

    @property
    def starved(self) -> bool:
        """Whether something waits for a thread and none can be started, or none could be for the latest async task."""
        return self._loop.starved or (self._threads.starved and self._intake.short_of_takers())

    def start(self) -> None:
        """Calls the program's own functions for that. The first delivery starts the first thread.

        Raises:
            BaseException: What one of them raised.
        """
        self._hooks.start()

    def more(self) -> None:
        """Starts another thread if something waits and none is idle. Without one, the next call tries again."""
        if len(self._takers) >= self._most or not self._intake.short_of_takers():
            return
        series = Series(self._clock)
        if self._join(series) and not self._threads.start(partial(self._take, series)):
            self._withdraw(series)

    def stop(self) -> None:
        """Settles what is kept, cancels the coroutines, ends their loop and the threads that are idle; then on_stop."""
        self._lookout.close()
        self._loop.stop()
        self._threads.close()
        self._hooks.stop()

    def _join(self, series: Series) -> bool:
        """Counts its thread among the takers, unless there are enough."""
        with self._lock:
            if len(self._takers) >= self._most:
                return False
            self._takers.add(series)
            return True

    def _withdraw(self, series: Series) -> None:
        """Another thread may take its thread's place."""
        with self._lock:
            self._takers.discard(series)

    def _take(self, series: Series) -> None:
        """Works until the intake is closed, or there are enough others."""
        self._lookout.add(series)
        try:
            while (held := self._next(series)) is not None:
                self._run(held, series)
        finally:
            self._withdraw(series)
            self._leave(series)
            self._lookout.discard(series)

    def _next(self, series: Series) -> HeldLease | None:
        """The next delivery to run; what the series has kept is settled once nothing waits, or no more fits."""
        while True:
            empty = not series  # asked once, as the lookout may empty it
            if empty or not series.full:
                held = self._intake.take(series, wait=empty)
                if empty or held is not None:
                    return held
            if not self._settle(series):
                return None

    def _run(self, held: HeldLease, series: Series) -> None:
        handler = self._processor.handler_for(held.delivery)
        is_async = handler is not None and handler.is_async  # which takes no time here
        pace = None if handler is None else self._paces[handler.name]
        in_series = is_async or (pace is not None and pace.is_short)
        owed = OwedNotes()
        if in_series and (series or self._intake.led):
            if not is_async:
                series.begin(owed)
            in_series = owed.patient = self._lookout.look()
        if not in_series:
            self._leave(series)
        self._began(held.delivery)
        if is_async:
            self._loop.run(held)
            return
        began = time.monotonic()
        busy_before = None if pace is None or pace.is_tiny else time.thread_time()
        # Each task has a fresh context, so that context variables don't leak into the next one.
        outcome = contextvars.Context().run(self._process, held, owed)
        series.owed = None
        seconds = time.monotonic() - began
        if pace is not None:
            waited = 0.0 if busy_before is None else seconds - (time.thread_time() - busy_before)
            pace.note(max(0.0, seconds - owed.spent), max(0.0, waited - owed.spent))
            pace.owes = bool(owed)
        try:
            self._ended(held, outcome, seconds, series if in_series else None)
        except BaseException:  # the thread is shared
            logger.exception("the end of %s could not be recorded", held.delivery.id)

    def _end_async(self, held: HeldLease, outcome: Outcome, seconds: float) -> None:
        self._ended(held, outcome, seconds)
        # A slot is free, and the thread that would take may be in a call that hangs.
        self.more()

    def _leave(self, series: Series) -> None:
        """Ends the series: the next task may take its time."""
        for held in series.take_all():
            self._settler.settle(held, ACKED)
        self._intake.hand_on(series)
        self.more()

    def _settle(self, series: Series) -> bool:
        """Settles what is kept. Returns whether this thread is still needed."""
        self._withdraw(series)  # while the call takes its time
        if not self._calls.is_short:
            self._intake.hand_on(series)
            self.more()
        while kept := series.take_of_one_queue():
            began = time.monotonic()
            if self._settler.settle_together(kept):
                self._calls.note(time.monotonic() - began)
        return self._join(series)

    def _process(self, held: HeldLease, owed: OwedNotes) -> Outcome:
        OWED.set(owed)  # in a context of its own
        outcome = self._outcome(held)
        if owed:
            if isinstance(outcome, Acked):
                held.owed = owed
            else:
                owed.pay()  # nothing waits for it: a copy is made, or a dead letter
        return outcome

    def _outcome(self, held: HeldLease) -> Outcome:
        try:
            return self._processor.process(held.delivery, lease_lost=held.lost)
        except BaseException as error:  # noqa: BLE001 - a signal's KeyboardInterrupt reaches the main thread only: this is the task's own
            return self._processor.failed(held.delivery, error)
