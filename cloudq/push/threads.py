"""`Threads`: daemon threads that run tasks, started as they are needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeAlias

logger = logging.getLogger("cloudq.push")

Job: TypeAlias = Callable[[], None]


class Threads:
    """Runs jobs on up to `most` threads.

    Daemon threads, which an executor of the standard library has not: a task that never returns must not keep the
    process alive once the worker has left.

    Args:
        most: The most threads.
        name: What their names start with.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._started = 0
        self._idle = 0

    def run(self, job: Job) -> None:
        """Runs it as soon as a thread is free. It must not raise.

        Raises:
            RuntimeError: No thread can be started; it won't be run.
        """
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._started < self._most:
                name = f"{self._name}-{self._started + 1}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
                self._started += 1
        self._jobs.put(job)

    def close(self) -> None:
        """Ends the threads that are idle, and the others after their job."""
        with self._lock:
            count = self._started
        for _ in range(count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException:  # the thread is shared
                logger.exception("unexpected")
            with self._lock:
                self._idle += 1
