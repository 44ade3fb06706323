"""`Admission`: how many pushes are taken, how many run, and which. The one place that bounds them. Thread-safe.

```
 admit ─▶ body read, decoded ─▶ slot (or wait) ─▶ runs ─▶ finish ─▶ settled ─▶ ended
   429: slots and waiting places taken               │       given up: answered without it
                                                     └ lost: its time is over, or its sender has hung up
```
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Final, TypeAlias

from cloudq.core.clock import Clock
from cloudq.core.observing import Observer
from cloudq.push.hang_up import HangUp
from cloudq.push.refusals import HttpRefusal
from cloudq.push.sources import Arrival, Source
from cloudq.running.awaited_runs import AwaitedRun
from cloudq.running.runs import Ended, Run, Runs

STOPPING: Final = "it is stopping"
# Time kept for settling: a run that took all its time is still settled while its sender waits for the answer.
SETTLE_MARGIN: Final = timedelta(seconds=2)
_LARGEST_PART: Final = 10
# How long the watch waits at most while something runs; and where only a look at its connection tells of a hang-up.
LONGEST_WAIT: Final = timedelta(seconds=1)
PROBE: Final = timedelta(milliseconds=200)

Ready: TypeAlias = Callable[[bool], None]
"""Called, in any thread, with `True` once the slot that was waited for is free, `False` if it never will be."""


class PushInHand(AwaitedRun):
    """A push in hand.

    Attributes:
        source: Where it came from.
        hang_up: Whether its sender has hung up.
        succeeded: Whether its task has: a redelivery has nothing left to do.
        counted: Whether its end was.
        abandon: Called when it is given up, to have it answered now; `None` where that is impossible.

    Args:
        arrival: What was pushed.
        clock: Where the time comes from.
        hang_up: Whether its sender has hung up.
    """

    __slots__ = ("_run", "_runs", "_span", "abandon", "counted", "hang_up", "settling", "source", "succeeded")

    def __init__(self, arrival: Arrival, clock: Clock, hang_up: HangUp) -> None:
        super().__init__(arrival.delivery, clock)
        self._span = max(timedelta(0), self.ends - self.since)
        self.until = self.ends - min(SETTLE_MARGIN, self._span / _LARGEST_PART)
        self.source: Source = arrival.source
        self.hang_up = hang_up
        self.succeeded = False
        self.counted = False
        self.abandon: Callable[[], None] | None = None
        self._runs: Runs | None = None
        self._run: Run | None = None
        # Guarded by the admission's lock.
        self.settling = False

    def is_over(self, elapsed: timedelta) -> bool:
        """Whether its sender has stopped waiting for the answer, so that it is pushed again."""
        return elapsed >= self.ends or self.hang_up.look()

    def begin_run(self, runs: Runs, ended: Ended) -> bool:
        """Whether it may run, as far as other runs of its message are concerned. If not, `ended` will be called."""
        self._runs = runs
        self._run = runs.begin(self.delivery, lost=self.lost, lease=self._span, ended=ended)
        return self._run is not None

    def end_run(self) -> None:
        """Notes that it has run, or won't: other pushes of its message may go on. Calling it again changes nothing."""
        if self._runs is not None and self._run is not None:
            self._runs.end(self._run, succeeded=self.succeeded)


class Admission:
    """The places and the slots.

    Args:
        slots: The most tasks at once.
        waiting: How many more pushes may be in hand.
        clock: Where the time comes from.
        max_tasks: Close once this many were started, or `None`.
        on_change: Called when one was ended, and once it closes by itself.
        observer: Told of each lease that is lost; `None`: nobody is.
    """

    def __init__(
        self,
        slots: int,
        waiting: int,
        clock: Clock,
        *,
        max_tasks: int | None = None,
        on_change: Callable[[], None] | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._clock = clock
        self._observer = observer
        self._places = slots + waiting
        self._max_tasks = max_tasks
        self._on_change = on_change
        # The watch waits on it for the first lease to end.
        self.changed = threading.Condition()
        # All below is guarded by its lock.
        self._free = slots
        self._slots = slots
        self._taken = 0
        self._queue: deque[Ready] = deque()
        self._runs: set[PushInHand] = set()
        self._given_up: set[PushInHand] = set()
        self._closed = False
        self._next_look: timedelta | None = None
        self.started = 0
        self.lease_lost = 0

    # ── coming in ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def closed(self) -> bool:
        """Whether nothing new is taken."""
        return self._closed

    def check_open(self) -> None:
        """Refuses a push once it is closed."""
        if self._closed:
            raise HttpRefusal(503, STOPPING, headers={"Retry-After": "1", "Connection": "close"})

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Takes a place for the block, before a body is read, so that the places bound the bodies in memory.

        Raises:
            HttpRefusal: 429, or 503 once it is closed.
        """
        with self.changed:
            self.check_open()
            if self._taken >= self._places:
                raise overloaded()
            self._taken += 1
        try:
            yield
        finally:
            with self.changed:
                self._taken -= 1
            self._tell()

    def take_slot(self, ready: Ready) -> bool:
        """Whether a slot is taken now. If not, `ready` will be told.

        Raises:
            HttpRefusal: 503 once it is closed.
        """
        with self.changed:
            if self._closed:
                raise HttpRefusal(503, STOPPING, headers={"Retry-After": "1"})
            if not self._free:
                self._queue.append(ready)
                return False
            self._free -= 1
            self.started += 1
            last = self.started == self._max_tasks
        if last:
            self.close()
        return True

    def withdraw(self, ready: Ready) -> bool:
        """Stops waiting. `False`: it was told already."""
        with self.changed:
            try:
                self._queue.remove(ready)
            except ValueError:
                return False
            return True

    def give_back(self) -> None:
        """Gives back a slot that nothing was started in."""
        with self.changed:
            self.started -= 1
        self.free()

    def free(self) -> None:
        """Gives a slot to the push that has waited longest, or makes it free."""
        with self.changed:
            if not self._queue:
                self._free += 1
                return
            ready = self._queue.popleft()
            self.started += 1
            last = self.started == self._max_tasks
        ready(True)
        if last:
            self.close()

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, run: PushInHand) -> None:
        """Notes that it runs."""
        with self.changed:
            self._runs.add(run)
            if self._next_look is None or run.ends < self._next_look or run.hang_up.silent:
                self._next_look = run.ends
                self.changed.notify_all()
        run.hang_up.then(partial(self.lose, run))

    def lose(self, run: PushInHand) -> None:
        """Its lease is over: tells its task, unless that has ended."""
        with self.changed:
            if run.lost.is_set() or run.settling or run not in self._runs:
                return
            run.lost.set()
            self.lease_lost += 1
        if self._observer is not None:
            self._observer.lease_lost(run.delivery)

    def finish(self, run: PushInHand) -> bool:
        """Notes that the task has ended. Whether its outcome counts: not if the push was given up, and so answered."""
        with self.changed:
            if run in self._given_up:
                return False
            run.settling = True
            return True

    def end(self, run: PushInHand) -> None:
        """Ends a push that is done with: its place, and its slot if it has one, are free."""
        with self.changed:
            self._runs.discard(run)
            self._given_up.discard(run)
        run.hang_up.forget()
        run.end_run()
        self.free()
        self._tell()

    def look(self, now: timedelta) -> timedelta | None:
        """Tells the tasks whose lease is over. Returns when to look again. Called with the lock held.

        Args:
            now: The present time, by `Clock.elapsed`.
        """
        looks = []
        for run in self._runs:
            if run.lost.is_set() or run.settling:
                continue
            if run.is_over(now):
                self.lose(run)
            else:
                # A wait doesn't notice that the machine was suspended (see `Clock.wait`), so it is a short one.
                looks.append(min(run.ends, now + (PROBE if run.hang_up.silent else LONGEST_WAIT)))
        self._next_look = min(looks, default=None)
        return self._next_look

    # ── leaving ──────────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Takes no more pushes, and sends away those that wait."""
        with self.changed:
            self._closed = True
            waiting, self._queue = list(self._queue), deque()
            self.changed.notify_all()
        for ready in waiting:
            ready(False)

    def give_up(self) -> int:
        """Gives up the tasks that still run: they can see it, and their pushes are answered now. Returns how many."""
        with self.changed:
            left = [run for run in self._runs if not run.settling and run not in self._given_up]
            self._given_up.update(left)
        for run in left:
            run.lost.set()
            if run.abandon is not None:
                run.abandon()
        return len(left)

    @property
    def in_hand(self) -> int:
        """How many pushes aren't answered."""
        with self.changed:
            return self._taken

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        with self.changed:
            return len(self._queue)

    @property
    def running(self) -> int:
        """How many tasks run, those that were given up included."""
        with self.changed:
            return sum(not run.settling for run in self._runs)

    @property
    def settling(self) -> int:
        """How many have ended and aren't settled."""
        with self.changed:
            return sum(run.settling for run in self._runs)

    @property
    def stuck(self) -> bool:
        """Whether every slot is held by a task whose lease is lost."""
        with self.changed:
            lost = sum(run.lost.is_set() for run in self._runs)
        return lost >= self._slots

    def _tell(self) -> None:
        if self._on_change is not None:
            self._on_change()


def overloaded() -> HttpRefusal:
    """The answer when there is no place, or none in time."""
    return HttpRefusal(429, "all slots and waiting places are taken", headers={"Retry-After": "1"})
