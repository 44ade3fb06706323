"""`Watchdog`: the pollers of a worker; one whose poll doesn't come back is replaced."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.worker.poller import Poller

logger = logging.getLogger("cloudq.worker")

# So much longer than asked for may a poll take.
PATIENCE: Final = timedelta(seconds=30)


class Watchdog:
    """Starts the pollers, looks after them and stops them.

    Args:
        pollers: One a queue.
        again: Makes another one for a queue.
        clock: Where the time comes from.
    """

    def __init__(self, pollers: Sequence[Poller], again: Callable[[str], Poller], clock: Clock) -> None:
        self._pollers = {poller.queue: poller for poller in pollers}
        self._again = again
        self._clock = clock
        self._lock = threading.Lock()
        self._stopped = False
        self.replaced = 0

    @property
    def pollers(self) -> Sequence[Poller]:
        """Those at work, one a queue."""
        with self._lock:
            return list(self._pollers.values())

    def start(self) -> None:
        """Starts all pollers."""
        for poller in self.pollers:
            poller.start()

    def look(self, now: datetime) -> None:
        """Replaces each poller whose poll is long overdue."""
        for poller in self.pollers:
            late = poller.overdue(now)
            if late > PATIENCE and poller.abandon():
                self._replace(poller, late)

    def stop(self) -> None:
        """Ends all pollers after the poll under way."""
        with self._lock:
            self._stopped = True
        for poller in self.pollers:
            poller.stop()

    def polling(self) -> bool:
        """Whether any of those at work still runs."""
        return any(poller.alive for poller in self.pollers)

    def _replace(self, poller: Poller, late: timedelta) -> None:
        logger.error(
            "a poll of queue %s is overdue by %.0f s: it is left behind, and another poller takes over",
            poller.queue,
            late.total_seconds(),
            extra={"cloudq_queue": poller.queue},
        )
        with self._lock:
            if self._stopped:
                return
            self.replaced += 1
            fresh = self._pollers[poller.queue] = self._again(poller.queue)
        fresh.start()
