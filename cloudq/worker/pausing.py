"""`PauseWatch`: whether a queue is paused by a flag in the store, where its backend can't pause by itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.pausing import Pauser
from cloudq.core.safe_log import SafeLogger
from cloudq.core.store import Store
from cloudq.errors import CloudqError, QueuePaused
from cloudq.flow.flags import Flags, pause_flag
from cloudq.queues.store_connection import StoreConnection

logger = SafeLogger("cloudq.worker")

# Between two looks at the flag: one read of the store.
LOOK_EVERY: Final = timedelta(seconds=5)


class PauseWatch:
    """Refuses receives of a paused queue. Thread-safe.

    A store that can't be reached changes nothing: what was last known holds.

    Args:
        queue: The queue.
        store: Gives the app's store; `None` if it has none.
        clock: Where the time comes from.
    """

    def __init__(self, queue: str, store: Callable[[], Store | None], clock: Clock) -> None:
        self._queue = queue
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._next_look = timedelta(0)
        self._paused = False
        self._fails = False  # the latest look did

    def __call__(self) -> None:
        """To be called before each receive.

        Raises:
            QueuePaused: The queue is paused.
        """
        with self._lock:
            now = self._clock.elapsed()
            if now >= self._next_look:
                self._next_look = now + LOOK_EVERY
                self._paused = self._look()
            if self._paused:
                raise QueuePaused(f"queue {self._queue!r} is paused", hint=f"cloudq resume {self._queue}")

    def _look(self) -> bool:
        try:
            store = self._store()
            paused = store is not None and Flags(store.notes).look(pause_flag(self._queue)) is not None
        except CloudqError as error:
            # Where no task has a key, nobody else asks the store, and so nobody else would tell.
            self._tell(logging.WARNING, "whether queue %s is paused can't be read, so nothing changes: %s", error)
            return self._paused
        self._tell(logging.INFO, "whether queue %s is paused can be read again")
        return paused

    def _tell(self, level: int, text: str, *more: object) -> None:
        """Logs that looks fail, or work again: the change, not each."""
        fails = bool(more)
        if fails is not self._fails:
            self._fails = fails
            logger.log(level, text, self._queue, *more, extra={"cloudq_queue": self._queue})


def watch_of(queue: str, driver: object, stores: StoreConnection, clock: Clock) -> PauseWatch | None:
    """What watches a queue's flag; `None` where its backend pauses by itself, or there is no store for flags."""
    if isinstance(driver, Pauser) or not stores.in_use:
        return None
    return PauseWatch(queue, lambda: stores.store, clock)
