"""`WaitingQueue`: what waits of one queue, how fast it starts, and how it is polled; guarded by the intake's lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

from cloudq.core.snooze_ways import HANDED_OVER_ENOUGH
from cloudq.running.held import HeldLease
from cloudq.worker.open_polls import OpenPolls, Reach
from cloudq.worker.prefetch import StartRate

# A delivery that has waited for this long while its queue started nothing is handed back: another worker may be free.
PATIENCE: Final = timedelta(seconds=10)
ONE_FOR_ALL: Final = Reach()


class Arrived(NamedTuple):
    """A delivery that waits for a slot; `back`: again, so before what has only arrived."""

    held: HeldLease
    since: timedelta
    back: bool = False


class WaitingQueue:
    """The waiting deliveries of one queue, how fast they start, and how it is polled.

    Args:
        name: The queue's name.
        weight: Its share of the slots.
        lock: The intake's.
        lease: How long its deliveries are leased at a time.
        reach: How much its polls bring.
    """

    def __init__(
        self, name: str, weight: int, lock: threading.Lock, lease: timedelta, reach: Reach = ONE_FOR_ALL
    ) -> None:
        self.name = name
        self.weight = weight
        self.lease = lease
        self.turns = 0  # of the smooth weighted round robin
        self.waiting: deque[Arrived] = deque()
        self.rate = StartRate(lease)
        self.last_start: timedelta | None = None
        self.polls = OpenPolls(reach)
        self.parking = threading.Condition(lock)
        self.parked = False  # its poller waits there for something to ask for
        self.settling = 0  # of the worker's, those of this queue
        self.failing = False  # whether its settlements fail
        self.on_hold = 0  # of the worker's deliveries that wait in hand, those of this queue
        self.storeless = False  # whether it isn't polled as the store of idempotency keys is down

    def take_back(self, held: HeldLease, now: timedelta) -> None:
        """Has a delivery wait again that had its turn: before what never had one, and behind those taken back before.

        So the messages of one ordering key, of which several were set aside for a run, keep their order.
        """
        place = next((n for n, one in enumerate(self.waiting) if not one.back), len(self.waiting))
        self.waiting.insert(place, Arrived(held, now, back=True))

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
    # What was on hold was held so that it isn't counted, which giving it back would be.
    return one.since < before and one.held.delivery.without_end < HANDED_OVER_ENOUGH and one.held.stretch is None


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
    own = queue.polls.fresh(now)
    theirs = sum(other.polls.fresh(now) for other in queues) - own
    count = max(0, free - theirs) + max(0, ahead - waiting) - own
    if left is not None:
        # Only fresh polls count: else one that waits at an empty queue, again and again, would keep the last tasks to
        # itself. Any surplus is given back.
        count = min(count, left - theirs - own)
    most = queue.polls.reach.each
    return max(0, count if most is None else min(count, most))


def until_free(queues: Iterable[WaitingQueue], now: timedelta) -> timedelta | None:
    """How long until what the polls under way asked for is free again; `None` if only an event can help."""
    return min((left for queue in queues if (left := queue.polls.until_stale(now)) is not None), default=None)


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
