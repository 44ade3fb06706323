"""`Background`: a few lazily started threads for short jobs, now or later."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from cloudq.core.clock import Clock

logger = logging.getLogger("cloudq.worker")

ZERO = timedelta(0)


class Background:
    """Runs jobs on daemon threads, each at its time. A thread is started only when a job finds none idle.

    Args:
        name: For the threads.
        threads: The most threads.
        clock: Where the time comes from.
    """

    def __init__(self, name: str, *, threads: int, clock: Clock) -> None:
        self._name = name
        self._most = threads
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, job: Callable[[], None], *, delay: timedelta = ZERO) -> None:
        """Runs `job` on one of the threads, not before `delay` is over. Never runs it in the caller's."""
        with self._changed:
            if self._closed:
                return
            heapq.heappush(self._jobs, (self._clock.now() + delay, next(self._order), job))
            if not self._idle and self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._run, name=f"{self._name}-{self._threads}", daemon=True).start()
            # Each waits for the earliest job, which may be another one now.
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the threads once what they run has ended. Jobs whose time hasn't come are dropped."""
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:  # a slip in one job must not end the thread that runs the others
                logger.exception("a job of %s failed", self._name)

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._closed:
                now = self._clock.now()
                if self._jobs and self._jobs[0][0] <= now:
                    return heapq.heappop(self._jobs)[2]
                self._idle += 1
                self._clock.wait(self._changed, self._jobs[0][0] - now if self._jobs else None)
                self._idle -= 1
            return None
