"""`Intake`: what waits in the worker, what may start next, and how much may be asked for.

It does no I/O and starts no thread. Pollers ask `next_poll` and `offer` what they got; executors `take`, and say when
they are `done`; the settler says when a delivery is `settled`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from cloudq.core.clock import Clock
from cloudq.running.held import HeldLease
from cloudq.worker.waiting import FRESH, WaitingQueue, next_queue

# Handlers that have ended and aren't settled yet; beyond it nothing starts and nothing is received.
MOST_SETTLING: Final = 500
# What has waited so long while its queue started nothing is handed back: another worker may be free.
PATIENCE: Final = timedelta(seconds=10)


class InHand(msgspec.Struct, frozen=True, kw_only=True):
    """How much is in the worker's hands.

    Attributes:
        waiting: Received and not started.
        running: Started and not ended.
        settling: Ended, or to be released, and not confirmed.
        started: Started so far.
    """

    waiting: int
    running: int
    settling: int
    started: int

    @property
    def total(self) -> int:
        """All that is not given out of hand."""
        return self.waiting + self.running + self.settling


class Intake:
    """The worker's books: waiting deliveries by queue, slots, and credit for polls.

    Args:
        queues: The queues in their order, with their weights.
        slots: The most tasks running at once.
        lease: How long a delivery is leased.
        clock: Where the time comes from.
        strict: Whether the order of the queues decides, instead of the weights.
        prefetch: How many may wait for a slot, a queue; `None` to measure it.
        max_tasks: The most tasks to start, ever.
        burst: Whether to finish once the queues are empty.
        on_change: Called, with no lock held, when the worker may have finished or the last running task has ended.
    """

    def __init__(
        self,
        queues: Mapping[str, int],
        *,
        slots: int,
        lease: timedelta,
        clock: Clock,
        strict: bool = False,
        prefetch: int | None = None,
        max_tasks: int | None = None,
        burst: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._slots = slots
        self._clock = clock
        self._strict = strict
        self._prefetch = prefetch
        self._max_tasks = max_tasks
        self._burst = burst
        self._on_change = on_change
        self._patience = min(PATIENCE, lease / 4)
        self._most_settling = max(MOST_SETTLING, 2 * slots)
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        # All below is guarded by the lock.
        self._queues = {name: WaitingQueue(name, weight, self._lock, lease) for name, weight in queues.items()}
        self._waiting = 0
        self._running: set[HeldLease] = set()
        self._settling = 0
        self._started = 0
        self._idle_takers = 0
        self._taker_woken = False  # and not yet back
        self._failing = False
        self._closed = False
        self._epoch = 0  # moves with all that may put something into a queue, or into our hands

    # ── for the pollers ──────────────────────────────────────────────────────────────────────────────────

    def next_poll(self, queue: str) -> int:
        """Blocks until a poll of `queue` makes sense, and says how many to ask for. 0: it is over."""
        own = self._queues[queue]
        with self._lock:
            while not self._closed:
                now = self._clock.now()
                pause = own.pause(now, self._epoch) if self._burst else None
                wanted = self._wanted(own, now) if pause is None else 0
                if wanted > 0:
                    own.asked, own.asked_at = wanted, now
                    own.polled_epoch = self._epoch
                    return wanted
                own.parked = True
                self._clock.wait(own.room, pause or self._until_stale(own, now))
                own.parked = False
            return 0

    def wanted(self, queue: str) -> int:
        """How many a poll of `queue` may ask for now: free slots and what will start soon, less what waits."""
        with self._lock:
            return self._wanted(self._queues[queue], self._clock.now())

    def offer(self, queue: str, held: Sequence[HeldLease]) -> list[HeldLease]:
        """Takes in what a poll brought, nothing included. Returns what is refused, to be released at once."""
        own = self._queues[queue]
        with self._lock:
            own.asked, own.asked_at = 0, None
            own.was_empty = not held
            refused = list(held) if self._closed else []
            self._settling += len(refused)
            if held:
                self._epoch += 1
            elif own.polled_epoch == self._epoch and not self._in_hand():
                own.empty_epoch = self._epoch
            if held and not refused:
                own.waiting.extend(held)
                self._waiting += len(held)
                self._wake_taker()
            self._wake_pollers()
            finished = self._finished()
        if finished:
            self._on_change()
        return refused

    def poll_failed(self, queue: str) -> None:
        """The poll under way brought nothing and says nothing about the queue."""
        own = self._queues[queue]
        with self._lock:
            own.asked, own.asked_at = 0, None
            self._wake_pollers()

    def adopt(self, count: int) -> None:
        """Counts deliveries that are released without ever having been offered."""
        with self._lock:
            self._settling += count

    # ── for the executors ────────────────────────────────────────────────────────────────────────────────

    def take(self) -> HeldLease | None:
        """Blocks until a slot is free and something waits, and starts it. `None`: it is over."""
        with self._lock:
            while not self._closed:
                if self._waiting and self._may_start():
                    held = self._pick()
                    if held is not None:
                        self._wake_taker()
                        return held
                    continue
                self._idle_takers += 1
                self._clock.wait(self._work, None)
                self._idle_takers -= 1
                self._taker_woken = False
            return None

    def short_of_takers(self) -> bool:
        """Whether something could start and no thread waits for it."""
        with self._lock:
            return bool(self._waiting) and not self._idle_takers and not self._closed and self._may_start()

    def done(self, held: HeldLease) -> bool:
        """Frees the slot; the delivery is being settled from now on. `False` if it was given up before: drop it."""
        with self._lock:
            if held not in self._running:
                return False
            self._running.remove(held)
            self._settling += 1
            self._wake_taker()
            self._wake_pollers()
            tell = self._closed and not self._running
        if tell:
            self._on_change()
        return True

    # ── for the settler ──────────────────────────────────────────────────────────────────────────────────

    def settled(self, count: int = 1) -> None:
        """So many are out of hand: confirmed, or given up."""
        with self._lock:
            self._settling -= count
            self._epoch += 1
            self._wake_taker()
            self._wake_pollers()
            tell = not self._settling and (self._closed or self._finished())
        if tell:
            self._on_change()

    def settlements_failing(self, failing: bool) -> None:
        """While settlements fail nothing is received: it couldn't be settled either (semantics 14)."""
        with self._lock:
            self._failing = failing
            self._wake_pollers()

    # ── for the service ──────────────────────────────────────────────────────────────────────────────────

    def in_hand(self) -> InHand:
        """How much is in hand now."""
        with self._lock:
            return InHand(
                waiting=self._waiting, running=len(self._running), settling=self._settling, started=self._started
            )

    def finished(self) -> bool:
        """Whether a burst, or the number of tasks, is done with and nothing is in hand."""
        with self._lock:
            return self._finished()

    def close(self) -> list[HeldLease]:
        """Starts nothing and asks for nothing any more. Returns what waits, to be released at once."""
        with self._lock:
            self._closed = True
            unstarted = [held for queue in self._queues.values() for held in queue.waiting]
            for queue in self._queues.values():
                queue.waiting.clear()
                queue.room.notify_all()
            self._waiting = 0
            self._settling += len(unstarted)
            self._work.notify_all()
        return unstarted

    def give_up_running(self) -> list[HeldLease]:
        """Takes what runs out of its handlers' hands: their outcomes count no more. To be released at once."""
        with self._lock:
            running = list(self._running)
            self._running.clear()
            self._settling += len(running)
        return running

    def stale(self) -> list[HeldLease]:
        """Takes out what waits too long while its queue starts nothing, to be released at once.

        That happens when tasks turn out much slower than those before, or two queues filled the same free slot.
        """
        if self._prefetch is not None:
            return []
        with self._lock:
            before = self._clock.now() - self._patience
            stale: list[HeldLease] = []
            for queue in self._queues.values():
                stale += queue.take_stale(before)
            self._waiting -= len(stale)
            self._settling += len(stale)
        return stale

    # ── with the lock held ───────────────────────────────────────────────────────────────────────────────

    def _in_hand(self) -> int:
        return self._waiting + len(self._running) + self._settling

    def _may_start(self) -> bool:
        return (
            len(self._running) < self._slots
            and self._settling < self._most_settling
            and (self._max_tasks is None or self._started < self._max_tasks)
        )

    def _wanted(self, queue: WaitingQueue, now: datetime) -> int:
        if self._closed or self._settling >= self._most_settling or (self._failing and self._settling):
            return 0
        ahead = queue.rate.prefetch(now) if self._prefetch is None else self._prefetch
        waiting = len(queue.waiting)
        if waiting > ahead // 2 and ahead:
            return 0  # one receive of many is cheaper than many of one
        fresh = sum(other.asked for other in self._queues.values() if other is not queue and other.asked_freshly(now))
        free = self._slots - len(self._running) - self._waiting - fresh
        wanted = max(0, free) + max(0, ahead - waiting)
        if self._max_tasks is not None:
            # Only fresh polls count: else one that waits at an empty queue, again and again, would keep the last tasks
            # to itself. What comes too much is given back.
            wanted = min(wanted, self._max_tasks - self._started - self._waiting - fresh)
        return max(0, wanted)

    def _until_stale(self, queue: WaitingQueue, now: datetime) -> timedelta | None:
        """When what other polls asked for is free again; `None` if only an event can help."""
        fresh = [
            other.asked_at + FRESH - now
            for other in self._queues.values()
            if other is not queue and other.asked_at is not None and other.asked_freshly(now)
        ]
        return min(fresh, default=None)

    def _wake_pollers(self) -> None:
        for queue in self._queues.values():
            if queue.parked:
                now = self._clock.now()
                pause = queue.pause(now, self._epoch) if self._burst else None
                if pause is None and self._wanted(queue, now) > 0:
                    queue.room.notify()

    def _wake_taker(self) -> None:
        """Wakes one taker, which wakes the next once it took something.

        So ten deliveries of short tasks don't wake ten threads, of which the first does all the work.
        """
        if self._waiting and self._idle_takers and not self._taker_woken and self._may_start():
            self._taker_woken = True
            self._work.notify()

    def _pick(self) -> HeldLease | None:
        """The next to start. `None` if its lease was lost while it waited: nobody's business any more."""
        queue = next_queue(self._queues.values(), strict=self._strict)
        held = queue.waiting.popleft()
        self._waiting -= 1
        if held.lost.is_set():
            self._epoch += 1
            self._wake_pollers()
            return None
        now = self._clock.now()
        self._running.add(held)
        self._started += 1
        queue.last_start = now
        queue.rate.started(now)
        if queue.parked and self._wanted(queue, now) > 0:
            queue.room.notify()
        return held

    def _finished(self) -> bool:
        if self._running or self._settling:
            return False
        if self._max_tasks is not None and self._started >= self._max_tasks:
            return True  # what still waits is given back
        return (
            self._burst
            and not self._waiting
            and all(queue.empty_epoch == self._epoch for queue in self._queues.values())
        )
