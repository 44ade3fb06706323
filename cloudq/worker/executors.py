"""Executors: what runs the tasks. Threads for sync ones, one event loop for async ones; processes are in `children`."""

from __future__ import annotations

import contextvars
import threading
import time
from typing import Any, Protocol

from cloudq.core.outcome import Outcome
from cloudq.core.processor import Processor
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.running.event_loop import Ended, LazyLoop
from cloudq.running.held import HeldLease
from cloudq.worker.intake import Intake

logger = SafeLogger("cloudq.worker")


class Executor(Protocol):
    """Takes work from the intake until it is closed."""

    @property
    def starved(self) -> bool:
        """Whether nothing can start at the moment: the machine can start no thread, or no process."""
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


class ThreadExecutor:
    """Runs sync tasks on up to `threads` daemon threads, and passes async ones to an event loop.

    Daemon threads, because a handler that never returns must not keep the process alive once the worker has left.

    Args:
        intake: Where the work comes from; its slots bound threads and coroutines together.
        processor: Turns deliveries into outcomes.
        threads: The most threads.
        ended: Told each outcome.
    """

    def __init__(self, intake: Intake, processor: Processor[Any], *, threads: int, ended: Ended) -> None:
        self._intake = intake
        self._processor = processor
        self._most = threads
        self._ended = ended
        self._threads = Threads("cloudq-task", threads)
        self._loop = LazyLoop(processor, ended)
        self._lock = threading.Lock()
        # Guarded by the lock: the threads that take from the intake, those that are being started included.
        self._takers = 0

    @property
    def starved(self) -> bool:
        """Whether something waits for a thread and none can be started, or none could be for the latest async task."""
        return self._loop.starved or (self._threads.starved and self._intake.short_of_takers())

    def start(self) -> None:
        """Starts nothing: the first delivery starts the first thread."""

    def more(self) -> None:
        """Starts another thread if something waits and none is idle. Without one, the next call tries again."""
        if self._takers >= self._most or not self._intake.short_of_takers():
            return
        with self._lock:
            if self._takers >= self._most:
                return
            self._takers += 1
        if not self._threads.start(self._take):
            with self._lock:
                self._takers -= 1

    def stop(self) -> None:
        """Cancels the coroutines, and ends their loop and the threads that are idle."""
        self._loop.stop()
        self._threads.close()

    def _take(self) -> None:
        """Works until the intake is closed."""
        try:
            while (held := self._intake.take()) is not None:
                self.more()
                self._run(held)
        finally:
            with self._lock:
                self._takers -= 1

    def _run(self, held: HeldLease) -> None:
        handler = self._processor.handler_for(held.delivery)
        if handler is not None and handler.is_async:
            self._loop.run(held)
            return
        began = time.monotonic()
        # Each task has a fresh context, so that context variables don't leak into the next one.
        outcome = contextvars.Context().run(self._process, held)
        try:
            self._ended(held, outcome, time.monotonic() - began)
        except BaseException:  # the thread is shared
            logger.exception("the end of %s could not be recorded", held.delivery.id)

    def _process(self, held: HeldLease) -> Outcome:
        try:
            return self._processor.process(held.delivery, lease_lost=held.lost)
        except BaseException as error:  # noqa: BLE001 - a signal's KeyboardInterrupt reaches the main thread only: this is the task's own
            return self._processor.failed(held.delivery, error)
