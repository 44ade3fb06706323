"""`Watchdog`: the pollers of a worker; one that doesn't come back, or has died, is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import PermissionDenied, QueueNotFound
from cloudq.worker.poller import Poller

logger = SafeLogger("cloudq.worker")

# A poll may overrun its wait by this much before its poller is replaced.
PATIENCE: Final = timedelta(seconds=30)


class Watchdog:
    """Starts the pollers, looks after them and stops them.

    Args:
        pollers: One a queue.
        again: Makes another one for a queue.
        clock: Where the time comes from.
    """

    def __init__(self, pollers: Sequence[Poller], again: Callable[[str], Poller], clock: Clock) -> None:
        self._again = again
        self._clock = clock
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._pollers = {poller.queue: poller for poller in pollers}
        self._started = self._stopped = False
        self._without_thread: set[str] = set()
        self._reached: set[str] = set()
        self.replaced = 0

    @property
    def pollers(self) -> Sequence[Poller]:
        """Those at work, one a queue."""
        with self._lock:
            return list(self._pollers.values())

    def start(self) -> None:
        """Starts all pollers. One for which no thread can be started is tried again at each `look`."""
        self._started = True
        for poller in self.pollers:
            self._start(poller)

    def look(self) -> None:
        """Replaces each poller whose own poll is long overdue, and each that has died; leaves other overdue polls."""
        if self._stopped or not self._started:
            return
        now = self._clock.elapsed()
        for poller in self.pollers:
            late = poller.overdue(now)
            if not poller.alive:
                poller.abandon()
                if poller.queue not in self._without_thread:
                    _log(poller, "the poller of queue %s has died: another one takes over")
                self._replace(poller.queue)
            elif late > PATIENCE and poller.abandon():
                _log(
                    poller,
                    "a poll of queue %s is overdue by %.0f s: it is left behind, and another poller takes over",
                    late.total_seconds(),
                )
                self._replace(poller.queue)
            elif left := poller.abandon_beside(now - PATIENCE):
                _log(poller, "polls beside the one of queue %s are overdue: %d are left behind", left)

    def refused(self) -> bool:
        """Whether a queue can't be received from, for a reason that won't pass, and never could: it says which."""
        for poller in self.pollers:
            if poller.reached:
                self._reached.add(poller.queue)
            elif poller.queue not in self._reached and isinstance(poller.down, (QueueNotFound, PermissionDenied)):
                _log(poller, "the worker ends, as it is to fail fast: queue %s can't be received from")
                return True
        return False

    def stop(self) -> None:
        """Ends all pollers after the poll under way."""
        with self._lock:
            self._stopped = True
        for poller in self.pollers:
            poller.stop()

    def _replace(self, queue: str) -> None:
        with self._lock:
            if self._stopped:
                return
            fresh = self._pollers[queue] = self._again(queue)
            self.replaced += queue not in self._without_thread  # else the one before never ran
        self._start(fresh)

    def _start(self, poller: Poller) -> None:
        try:
            poller.start()
        except (RuntimeError, MemoryError) as error:
            if poller.queue not in self._without_thread:
                self._without_thread.add(poller.queue)
                _log(poller, "no thread can be started to poll queue %s, trying again until one can: %s", error)
        else:
            self._without_thread.discard(poller.queue)


def _log(poller: Poller, text: str, *args: object) -> None:
    logger.error(text, poller.queue, *args, extra={"cloudq_queue": poller.queue})
