"""`Pausing`: the side of the memory driver that pauses queues. For tests: others don't see them."""

from __future__ import annotations

from cloudq.drivers.memory.store import Store
from cloudq.errors import QueuePaused


class Pausing:
    """Pauses queues of a store."""

    _store: Store

    def pause(self, queue: str) -> bool:
        """Ends the receives of the queue that are under way."""
        with self._store.changed:
            news = queue not in self._store.paused
            self._store.paused.add(queue)
            self._store.changed.notify_all()
            return news

    def resume(self, queue: str) -> bool:
        """At once."""
        with self._store.changed:
            if queue not in self._store.paused:
                return False
            self._store.paused.remove(queue)
            self._store.changed.notify_all()
            return True

    def is_paused(self, queue: str) -> bool:
        """Exact."""
        with self._store.changed:
            return queue in self._store.paused

    def _raise_if_paused(self, queue: str) -> None:
        if queue in self._store.paused:
            raise QueuePaused(f"queue {queue!r} is paused", hint=f"cloudq resume {queue}")
