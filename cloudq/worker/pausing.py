"""`PauseWatch`: whether a queue is paused by a flag in the store, where its backend can't pause by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.pausing import Pauser
from cloudq.core.store import Store
from cloudq.errors import CloudqError, QueuePaused
from cloudq.flow.flags import Flags, pause_flag
from cloudq.queues.store_connection import StoreConnection

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
            return store is not None and Flags(store.notes).look(pause_flag(self._queue)) is not None
        except CloudqError:
            return self._paused  # others tell of a store that is down


def watch_of(queue: str, driver: object, stores: StoreConnection, clock: Clock) -> PauseWatch | None:
    """What watches a queue's flag; `None` where its backend pauses by itself, or there is no store for flags."""
    if isinstance(driver, Pauser) or not stores.in_use:
        return None
    return PauseWatch(queue, lambda: stores.store, clock)
