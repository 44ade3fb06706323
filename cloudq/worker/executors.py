"""Executors: what runs the tasks. Threads for sync ones, one event loop for async ones; processes are in `children`."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from cloudq.core.outcome import Outcome
from cloudq.core.processor import Processor
from cloudq.running.event_loop import Ended, EventLoop
from cloudq.running.held import HeldLease
from cloudq.worker.intake import Intake

if TYPE_CHECKING:
    pass

logger = logging.getLogger("cloudq.worker")


class Executor(Protocol):
    """Takes work from the intake until it is closed."""

    def start(self) -> None:
        """Starts to take."""
        ...

    def more(self) -> None:
        """Something new waits: sees to it that it is taken."""
        ...

    def stop(self) -> None:
        """Ends what can be ended. What still runs is left alone; its outcome counts no more."""
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
        self._lock = threading.Lock()
        self._threads = 0
        self._loop: EventLoop | None = None
        self._stopped = False

    def start(self) -> None:
        """Starts nothing: the first delivery starts the first thread."""

    def more(self) -> None:
        """Starts another thread if something waits and none is idle."""
        if self._threads >= self._most or not self._intake.short_of_takers():
            return
        with self._lock:
            if self._threads >= self._most:
                return
            self._threads += 1
            threading.Thread(target=self._run, name=f"cloudq-task-{self._threads}", daemon=True).start()

    def stop(self) -> None:
        """Cancels the coroutines and ends their loop."""
        with self._lock:
            loop, self._loop = self._loop, None
            self._stopped = True
        if loop is not None:
            loop.stop()

    def _run(self) -> None:
        while (held := self._intake.take()) is not None:
            self.more()
            handler = self._processor.handler_for(held.delivery)
            if handler is not None and handler.is_async:
                self._run_on_loop(held)
                continue
            began = time.monotonic()
            # A fresh context: what a task leaves in a context variable is not for the next one's eyes.
            outcome = contextvars.Context().run(self._process, held)
            self._ended(held, outcome, time.monotonic() - began)

    def _process(self, held: HeldLease) -> Outcome:
        try:
            return self._processor.process(held.delivery, lease_lost=held.lost)
        except BaseException as error:  # noqa: BLE001 - a signal's KeyboardInterrupt reaches the main thread only: this is the task's own
            return self._processor.failed(held.delivery, error)

    def _run_on_loop(self, held: HeldLease) -> None:
        with self._lock:
            if self._stopped:
                return  # what was taken in the last moment has been given up by now
            if self._loop is None:
                self._loop = EventLoop(self._processor, self._ended)
            self._loop.run(held)
