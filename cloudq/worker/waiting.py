"""`WaitingQueue`: one queue's part of the intake's books. All of it is guarded by the intake's lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from cloudq.running.held import HeldLease
from cloudq.worker.prefetch import StartRate

# A poll that has waited so long found its queue empty: what it asked for is free for others again.
FRESH: Final = timedelta(milliseconds=250)
# A burst looks again so often at queues that were empty while tasks, which may send more, are still running.
BURST_PAUSE: Final = timedelta(milliseconds=500)
# Handing back costs a delivery of those that a policy allows (semantics 8), so it is done a few times only.
HANDED_OVER_ENOUGH: Final = 5


class WaitingQueue:
    """What waits of one queue, how fast it starts, and the poll under way.

    Args:
        name: The queue's name.
        weight: Its share of the slots.
        lock: The intake's.
        lease: How long a delivery is leased.
    """

    def __init__(self, name: str, weight: int, lock: threading.Lock, lease: timedelta) -> None:
        self.name = name
        self.weight = weight
        self.current = 0  # of the smooth weighted round robin
        self.waiting: deque[HeldLease] = deque()
        self.rate = StartRate(lease)
        self.last_start: datetime | None = None
        self.room = threading.Condition(lock)
        self.parked = False  # its poller waits for room
        self.asked = 0  # by the poll under way
        self.asked_at: datetime | None = None
        self.polled_epoch = -1  # the epoch in which the latest poll began
        self.empty_epoch = -1  # the epoch in which a poll found it empty, with nothing in hand
        self.was_empty = False

    def asked_freshly(self, now: datetime) -> bool:
        """Whether a poll is under way that may still bring at once what it asked for."""
        return self.asked > 0 and self.asked_at is not None and now - self.asked_at < FRESH

    def pause(self, now: datetime, epoch: int) -> timedelta | None:
        """In a burst, how long to leave an empty queue alone: until something moved, but not for ever."""
        if not self.was_empty or self.polled_epoch != epoch:
            return None
        if self.asked_at is None:
            self.asked_at = now  # from now on the pause runs
        left = self.asked_at + BURST_PAUSE - now
        return left if left > timedelta(0) else None

    def take_stale(self, before: datetime) -> list[HeldLease]:
        """Takes out what waits since before then, if nothing was started since then either."""
        if self.last_start is not None and self.last_start > before:
            return []
        old = [one for one in self.waiting if one.since < before and one.delivery.deliveries < HANDED_OVER_ENOUGH]
        for held in old:
            self.waiting.remove(held)
        return old


def next_queue(queues: Iterable[WaitingQueue], *, strict: bool) -> WaitingQueue:
    """The queue to start something of; at least one has something waiting."""
    ready = [queue for queue in queues if queue.waiting]
    if strict or len(ready) == 1:
        return ready[0]
    # Smooth weighted round robin: a=5, b=1 gives a a a b a a, not a a a a a b.
    for queue in ready:
        queue.current += queue.weight
    chosen = max(ready, key=_current)
    chosen.current -= sum(queue.weight for queue in ready)
    return chosen


def _current(queue: WaitingQueue) -> int:
    return queue.current
