"""`WaitingQueue`: what waits of one queue, and what is known of its polls; guarded by the intake's lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

from cloudq.running.held import HeldLease
from cloudq.worker.prefetch import StartRate

# A poll that has waited for this long found its queue empty: what it asked for is free for others again.
FRESH: Final = timedelta(milliseconds=250)
# A burst looks again after this at queues that were empty, while tasks, which may send more, are still running.
BURST_PAUSE: Final = timedelta(milliseconds=500)
# A delivery that has waited for this long while its queue started nothing is handed back: another worker may be free.
PATIENCE: Final = timedelta(seconds=10)
# Handing back uses up one of the deliveries that a policy allows (semantics 8), so it is done a few times only.
HANDED_OVER_ENOUGH: Final = 5
ZERO: Final = timedelta(0)


class Arrived(NamedTuple):
    """A delivery that waits for a slot."""

    held: HeldLease
    since: timedelta


class Poll:
    """The poll of one queue that is under way, and what the one before it found.

    | field | what it says | set by |
    |---|---|---|
    | `asked` | how many the poll under way asked for; 0 if none is | `begin`, `end` |
    | `began` | when it began; means nothing if none is under way | `begin` |
    | `epoch` | the worker's epoch in which the latest poll began | `begin` |
    | `found_nothing` | whether the latest one that worked found the queue empty | `end` |
    | `empty_in` | the epoch in which one found it empty with nothing in the worker's hands | the intake |
    | `resting_since` | since when a burst leaves the empty queue alone | `rest` |
    """

    __slots__ = ("asked", "began", "empty_in", "epoch", "found_nothing", "resting_since")

    def __init__(self) -> None:
        self.asked = 0
        self.began = ZERO
        self.epoch = -1
        self.found_nothing = False
        self.empty_in = -1
        self.resting_since: timedelta | None = None

    def begin(self, count: int, now: timedelta, epoch: int) -> None:
        """A poll for `count` deliveries begins."""
        self.asked, self.began, self.epoch, self.resting_since = count, now, epoch, None

    def end(self, *, found_nothing: bool | None) -> None:
        """It is over. `None`: it failed, which says nothing about the queue."""
        self.asked = 0
        if found_nothing is not None:
            self.found_nothing = found_nothing

    def is_fresh(self, now: timedelta) -> bool:
        """Whether one is under way that may still bring at once what it asked for."""
        return self.asked > 0 and now - self.began < FRESH

    def rest(self, now: timedelta, epoch: int) -> timedelta | None:
        """In a burst, how long to leave an empty queue alone: until something moved, but not forever."""
        if not self.found_nothing or self.epoch != epoch:
            return None
        if self.resting_since is None:
            self.resting_since = now
        left = self.resting_since + BURST_PAUSE - now
        return left if left > ZERO else None


class WaitingQueue:
    """The waiting deliveries of one queue, how fast they start, and how it is polled.

    Args:
        name: The queue's name.
        weight: Its share of the slots.
        lock: The intake's.
        lease: How long its deliveries are leased at a time.
    """

    def __init__(self, name: str, weight: int, lock: threading.Lock, lease: timedelta) -> None:
        self.name = name
        self.weight = weight
        self.lease = lease
        self.turns = 0  # of the smooth weighted round robin
        self.waiting: deque[Arrived] = deque()
        self.rate = StartRate(lease)
        self.last_start: timedelta | None = None
        self.poll = Poll()
        self.parking = threading.Condition(lock)
        self.parked = False  # its poller waits there for something to ask for
        self.settling = 0  # of the worker's, those of this queue
        self.failing = False  # whether its settlements fail

    def take_stale(self, now: timedelta) -> list[HeldLease]:
        """Takes out what has waited for too long, if nothing was started meanwhile either."""
        before = now - min(PATIENCE, self.lease / 4)
        if not self.waiting or (self.last_start is not None and self.last_start > before):
            return []
        stale = [one.held for one in self.waiting if _is_stale(one, before)]
        if stale:
            self.waiting = deque(one for one in self.waiting if not _is_stale(one, before))
        return stale


def _is_stale(one: Arrived, before: timedelta) -> bool:
    return one.since < before and one.held.delivery.deliveries < HANDED_OVER_ENOUGH


def wanted(
    queue: WaitingQueue,
    queues: Iterable[WaitingQueue],
    now: timedelta,
    *,
    free: int,
    prefetch: int | None,
    left: int | None,
) -> int:
    """How many a poll may ask for: free slots, what will start soon, less what waits and what other polls may bring.

    Args:
        queue: The queue to poll.
        queues: All of the worker's.
        now: `Clock.elapsed`.
        free: Slots for which nothing runs or waits.
        prefetch: How many may wait for a slot; `None` to measure it.
        left: How many more may be received and started at all; `None` for any number.
    """
    ahead = queue.rate.prefetch(now) if prefetch is None else prefetch
    waiting = len(queue.waiting)
    if waiting > ahead // 2 and ahead:
        return 0  # one receive of many is cheaper than many of one
    fresh = sum(other.poll.asked for other in queues if other is not queue and other.poll.is_fresh(now))
    count = max(0, free - fresh) + max(0, ahead - waiting)
    if left is not None:
        # Only fresh polls count: else one that waits at an empty queue, again and again, would keep the last tasks to
        # itself. Any surplus is given back.
        count = min(count, left - fresh)
    return max(0, count)


def until_free(queue: WaitingQueue, queues: Iterable[WaitingQueue], now: timedelta) -> timedelta | None:
    """How long until what other queues' polls asked for is free again; `None` if only an event can help."""
    fresh = [other.poll.began + FRESH - now for other in queues if other is not queue and other.poll.is_fresh(now)]
    return min(fresh, default=None)


def next_queue(queues: Iterable[WaitingQueue], *, strict: bool) -> WaitingQueue:
    """The queue to start something of; at least one has something waiting."""
    ready = [queue for queue in queues if queue.waiting]
    if strict or len(ready) == 1:
        return ready[0]
    # Smooth weighted round robin: a=5, b=1 gives a a a b a a, not a a a a a b.
    for queue in ready:
        queue.turns += queue.weight
    chosen = max(ready, key=_turns)
    chosen.turns -= sum(queue.weight for queue in ready)
    return chosen


def _turns(queue: WaitingQueue) -> int:
    return queue.turns
