"""`Intake`: what waits in the worker, what may start next, and how much may be asked for.

It does no I/O and starts no thread. Pollers ask `next_poll` and `offer` what they got; executors `take` and `end`; the
settler says when a delivery is settled.

```
 offer ─▶ waiting ─▶ running ─▶ settling ─▶ settled
             │ ▲
             ▼ │ its run failed
            aside: it, or its ordering key, is still running in this process
```
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from cloudq.core.clock import Clock
from cloudq.running.held import HeldLease
from cloudq.running.runs import Run, Runs
from cloudq.worker.aside import Aside, Unrun
from cloudq.worker.in_hand import GoingBack, InHand
from cloudq.worker.waiting import Arrived, WaitingQueue, next_queue, until_free, wanted

# Handlers that have ended and aren't settled yet; beyond it nothing starts and nothing is received.
MOST_SETTLING: Final = 500
ZERO: Final = timedelta(0)


class Intake:
    """The worker's books: waiting deliveries by queue, slots, and credit for polls.

    Args:
        queues: The queues in their order, with their weights.
        leases: How long the deliveries of each queue are leased at a time.
        slots: The most tasks running at once.
        runs: What this process runs.
        clock: Where the time comes from.
        strict: Whether the order of the queues decides, instead of the weights.
        prefetch: How many may wait for a slot, a queue; `None` to measure it.
        max_tasks: The most tasks to start, ever.
        burst: Whether to finish once the queues are empty.
        on_change: Called, with no lock held, when the worker may have finished, the last running task has ended, or
            what was set aside may go on.
    """

    def __init__(
        self,
        queues: Mapping[str, int],
        *,
        leases: Mapping[str, timedelta],
        slots: int,
        runs: Runs,
        clock: Clock,
        strict: bool = False,
        prefetch: int | None = None,
        max_tasks: int | None = None,
        burst: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._slots = slots
        self._runs = runs
        self._clock = clock
        self._strict = strict
        self._prefetch = prefetch
        self._max_tasks = max_tasks
        self._burst = burst
        self._on_change = on_change
        self._most_settling = max(MOST_SETTLING, 2 * slots)
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        # All below is guarded by the lock.
        self._queues = {name: WaitingQueue(name, weight, self._lock, leases[name]) for name, weight in queues.items()}
        self._waiting = 0  # what was set aside not counted
        self._running: dict[HeldLease, Run] = {}
        self._settling = 0
        self._aside = Aside(runs, clock)
        self._started = 0
        self._idle_takers = 0
        self._taker_woken = False  # and not yet back
        self._closed = False
        self._epoch = 0  # moves with all that may put something into a queue, or into our hands

    # ── for the pollers ──────────────────────────────────────────────────────────────────────────────────

    def next_poll(self, queue: str) -> int:
        """Blocks until a poll of `queue` makes sense, and says how many to ask for. 0: polling has ended."""
        own = self._queues[queue]
        with self._lock:
            while not self._closed:
                now = self._clock.elapsed()
                if count := self._wanted(own, now):
                    own.poll.begin(count, now, self._epoch)
                    return count
                own.parked = True
                try:
                    self._clock.wait(own.parking, self._rest(own, now) or until_free(own, self._queues.values(), now))
                finally:
                    own.parked = False
            return 0

    def offer(self, queue: str, held: Sequence[HeldLease]) -> list[HeldLease]:
        """Takes in what a poll brought, be it nothing. Returns the deliveries to give back at once."""
        own = self._queues[queue]
        with self._lock:
            own.poll.end(found_nothing=not held)
            refused = list(held) if self._closed else []
            self._settle(refused)
            if held:
                self._epoch += 1
            elif own.poll.epoch == self._epoch and not (
                self._waiting or self._aside or self._running or self._settling
            ):
                own.poll.empty_in = self._epoch
            if held and not refused:
                now = self._clock.elapsed()
                own.waiting.extend(Arrived(one, now) for one in held)
                self._waiting += len(held)
                self._wake_taker()
            self._wake_pollers()
            finished = self._finished()
        if finished:
            self._on_change()
        return refused

    def drop_poll(self, queue: str) -> None:
        """Forgets the poll under way, which failed and so says nothing about the queue."""
        with self._lock:
            self._queues[queue].poll.end(found_nothing=None)
            self._wake_pollers()

    def adopt(self, held: Collection[HeldLease]) -> None:
        """Counts deliveries that are given back without ever having been offered."""
        with self._lock:
            self._settle(held)

    # ── for the executors ────────────────────────────────────────────────────────────────────────────────

    def take(self) -> HeldLease | None:
        """Blocks until a slot is free and something waits, and starts it. `None`: nothing will be started any more."""
        with self._lock:
            while not self._closed:
                if self._waiting and self._may_start():
                    if (held := self._pick()) is not None:
                        self._wake_taker()
                        return held
                    continue
                self._idle_takers += 1
                try:
                    self._clock.wait(self._work, None)
                finally:
                    self._idle_takers -= 1
                    self._taker_woken = False
            return None

    def short_of_takers(self) -> bool:
        """Whether something could start and no thread waits for it."""
        with self._lock:
            return bool(self._waiting) and not self._idle_takers and not self._closed and self._may_start()

    def end(self, held: HeldLease, *, succeeded: bool) -> bool:
        """Frees the slot; the delivery is being settled from now on. `False` if it was given up before: drop it.

        If it succeeded, redeliveries of it that were set aside have nothing left to do.
        """
        with self._lock:
            if (run := self._running.pop(held, None)) is None:
                return False
            self._queues[held.delivery.queue].settling += 1
            self._settling += 1
            self._wake_taker()
            self._wake_pollers()
            tell = self._closed and not self._running
        self._runs.end(run, succeeded=succeeded)
        if tell:
            self._on_change()
        return True

    # ── for the settler ──────────────────────────────────────────────────────────────────────────────────

    def note_settled(self, queue: str, count: int = 1) -> None:
        """Counts this many of a queue as done with: confirmed, or given up."""
        with self._lock:
            self._queues[queue].settling -= count
            self._settling -= count
            self._epoch += 1
            self._wake_taker()
            self._wake_pollers()
            tell = not self._settling and (self._closed or self._finished())
        if tell:
            self._on_change()

    def note_failing(self, queue: str, failing: bool) -> None:
        """Notes whether a queue's settlements fail. While they do, it alone isn't received from (semantics 14)."""
        with self._lock:
            self._queues[queue].failing = failing
            self._wake_pollers()

    # ── for the service ──────────────────────────────────────────────────────────────────────────────────

    def in_hand(self) -> InHand:
        """How much is in hand now."""
        with self._lock:
            waiting, running = self._waiting + len(self._aside), len(self._running)
            return InHand(waiting=waiting, running=running, settling=self._settling, started=self._started)

    def finished(self) -> bool:
        """Whether a burst, or the number of tasks, is done with and nothing is in hand."""
        with self._lock:
            return self._finished()

    def close(self) -> list[HeldLease]:
        """Starts nothing and asks for nothing any more. Returns the waiting deliveries, to be given back at once."""
        with self._lock:
            self._closed = True
            unstarted = self._aside.take_all()
            for queue in self._queues.values():
                unstarted += [one.held for one in queue.waiting]
                queue.waiting.clear()
                queue.parking.notify_all()
            self._waiting = 0
            self._settle(unstarted)
            self._work.notify_all()
        return unstarted

    def give_up_running(self) -> list[HeldLease]:
        """Takes the running deliveries from their handlers, whose outcomes no longer count. To be released at once."""
        with self._lock:
            running, self._running = self._running, {}
            self._settle(running)
        for run in running.values():
            self._runs.end(run, succeeded=False)
        return list(running)

    def take_stale(self) -> list[GoingBack]:
        """Takes out deliveries that have waited for too long, to be given back: for a slot, or for a run to end.

        The former happens when tasks turn out much slower than those before, or two queues filled the same free slot.
        """
        with self._lock:
            stale = self._aside.take_overdue()
            if self._prefetch is None:
                now = self._clock.elapsed()
                waited = [GoingBack(one, ZERO) for queue in self._queues.values() for one in queue.take_stale(now)]
                self._waiting -= len(waited)
                stale += waited
            self._settle([one.held for one in stale])
        return stale

    def take_done_elsewhere(self) -> Unrun:
        """Takes out deliveries that must not run: another run here did their work, or there is a verdict on them."""
        with self._lock:
            done = self._aside.take_done()
            self._settle([held for held, _ in done])
            return done

    # ── with the lock held ───────────────────────────────────────────────────────────────────────────────

    def _settle(self, held: Collection[HeldLease]) -> None:
        for one in held:
            self._queues[one.delivery.queue].settling += 1
        self._settling += len(held)

    def _may_start(self) -> bool:
        return (
            len(self._running) < self._slots
            and self._settling < self._most_settling
            and (self._max_tasks is None or self._started < self._max_tasks)
        )

    def _wanted(self, queue: WaitingQueue, now: timedelta) -> int:
        failing = queue.failing and queue.settling
        resting = self._burst and self._rest(queue, now) is not None
        if self._closed or failing or resting or self._settling >= self._most_settling:
            return 0
        return wanted(
            queue,
            self._queues.values(),
            now,
            free=self._slots - len(self._running) - self._waiting,
            prefetch=self._prefetch,
            left=None if self._max_tasks is None else self._max_tasks - self._started - self._waiting,
        )

    def _rest(self, queue: WaitingQueue, now: timedelta) -> timedelta | None:
        return queue.poll.rest(now, self._epoch) if self._burst else None

    def _wake_pollers(self) -> None:
        for queue in self._queues.values():
            if queue.parked and self._wanted(queue, self._clock.elapsed()):
                queue.parking.notify()

    def _wake_taker(self) -> None:
        """Wakes one taker, which wakes the next once it took something.

        So ten deliveries of short tasks don't wake ten threads, of which the first does all the work.
        """
        if self._waiting and self._idle_takers and not self._taker_woken and self._may_start():
            self._taker_woken = True
            self._work.notify()

    def _pick(self) -> HeldLease | None:
        """Starts the next delivery. `None` if its lease was lost while it waited, or if it must not run now."""
        queue = next_queue(self._queues.values(), strict=self._strict)
        held = queue.waiting.popleft().held
        self._waiting -= 1
        now = self._clock.elapsed()
        if held.lost.is_set() or held.over(now):  # it is somebody else's by now
            self._epoch += 1
            self._wake_pollers()
            return None
        run = self._aside.begin(held, queue.lease, partial(self._resume, queue, held))
        if run is None:
            return None
        self._running[held] = run
        self._started += 1
        queue.last_start = now
        queue.rate.note_start(now)
        if queue.parked and self._wanted(queue, now):
            queue.parking.notify()
        return held

    def _finished(self) -> bool:
        if self._running or self._settling:
            return False
        if self._max_tasks is not None and self._started >= self._max_tasks:
            return True  # what still waits is given back
        return (
            self._burst
            and not self._waiting
            and not self._aside
            and all(queue.poll.empty_in == self._epoch for queue in self._queues.values())
        )

    # ── for the registry of runs ─────────────────────────────────────────────────────────────────────────

    def _resume(self, queue: WaitingQueue, held: HeldLease, done: bool) -> None:
        """Takes a delivery back that was set aside for a run which has now ended. Called with no lock held."""
        with self._lock:
            if not self._aside.resume(held, done=done):
                return
            if not done:
                queue.waiting.appendleft(Arrived(held, self._clock.elapsed()))
                self._waiting += 1
                self._wake_taker()
        self._on_change()
