"""`Managing`: the side of the driver that takes the right to manage the namespace. A worker never calls it."""

from __future__ import annotations

from cloudq.core.clock import Clock
from cloudq.core.driver import QueueStats
from cloudq.core.queue_settings import QueueSettings
from cloudq.drivers.service_bus.admin import Admin


class Managing:
    """Counts, looks at, makes and pauses queues."""

    _admin: Admin
    _clock: Clock

    def stats(self, queue: str) -> QueueStats:
        """The service's own counts, which takes the right to manage it."""
        return self._admin.stats(queue)

    def pause(self, queue: str) -> bool:
        """By the queue's status, `ReceiveDisabled`, which takes the right to manage it: receivers are detached."""
        return self._admin.set_receivable(queue, receivable=False)

    def resume(self, queue: str) -> bool:
        """By its status, `Active`."""
        return self._admin.set_receivable(queue, receivable=True)

    def is_paused(self, queue: str) -> bool:
        """As its status says, which takes the right to manage it."""
        return not self._admin.is_receivable(queue)

    def make_queue(self, queue: str) -> bool:
        """Makes a queue, for development; its dead-letter queue comes with it."""
        return self._admin.make_queue(queue)

    def queue_settings(self, queue: str) -> QueueSettings | None:
        """What the administration tells, which takes the right to manage it; its dead-letter queue is part of it."""
        return self._admin.settings(queue, self._clock)
