"""`Lookout`: looks after threads that work off short tasks, for the moment when one of them isn't.

| what it sees | what it does |
|---|---|
| the thread that leads has been at one task for 1 ms | others take what waits, with its leases |
| a task has ended 50 ms ago, and its thread is at another one | it is settled without that thread |
| a thread has been at one task for 10 ms, which owes the note that it has begun | that is noted |

It works while there is anything to see, and sleeps otherwise: a worker that is idle, or whose tasks come one by one, or
are long, never wakes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.threads import Threads
from cloudq.running.held import HeldLease
from cloudq.worker.intake import Intake
from cloudq.worker.series import Series

# A task may keep those behind it waiting for this long. It is also how often the lookout looks.
LONG: Final = timedelta(milliseconds=1)
# The settlement of a task that has ended may wait for those of others for this long: what a SIGKILL repeats.
LONGEST_KEPT: Final = timedelta(milliseconds=50)

# For how long a run may be under way without being noted.
LONGEST_UNNOTED: Final = timedelta(milliseconds=10)


class Lookout:
    """One thread, started when there is something to look after. Thread-safe.

    Args:
        intake: Where the threads take from.
        settle: Starts to settle a task that succeeded. Never blocks, never raises.
        more: Sees to it that what waits is taken. Never raises.
        clock: Where the time comes from.
    """

    def __init__(
        self, intake: Intake, *, settle: Callable[[HeldLease], None], more: Callable[[], None], clock: Clock
    ) -> None:
        self._intake = intake
        self._settle = settle
        self._more = more
        self._clock = clock
        self._threads = Threads("cloudq-lookout", 1, clock=clock)
        self._notes = Threads("cloudq-notes", 1, clock=clock)  # as a store may take its time
        self._lock = threading.Lock()
        self._wanted = threading.Condition(self._lock)
        # Guarded by the lock; read without it where an old value does no harm.
        self._series: set[Series] = set()
        self._there = False  # a thread is
        self._looking = False  # and it will see what there is to see from now on
        self._closed = False

    def add(self, series: Series) -> None:
        """Looks after this one, too."""
        with self._lock:
            self._series.add(series)

    def discard(self, series: Series) -> None:
        """Its thread has ended."""
        with self._lock:
            self._series.discard(series)

    def look(self) -> bool:
        """Has it look from now on, as long as there is anything to see. Returns whether it will: else no thread starts.

        To be called when a thread has begun to lead, or keeps something, and before it begins another task.
        """
        if self._looking:
            return True
        if not self._there and not self._threads.start(self._run):
            return False
        with self._lock:
            self._looking = True
            self._wanted.notify()
        return True

    def close(self) -> None:
        """Ends the thread, and settles what is kept: the threads that keep it may be at tasks that never end."""
        with self._lock:
            self._closed = True
            self._wanted.notify()
            series = list(self._series)
        self._threads.close()
        self._notes.close()
        for one in series:
            self._settle_all(one)

    def _run(self) -> None:
        self._there = True
        try:
            while not self._closed:
                self._look()
        finally:
            self._there = self._looking = False

    def _look(self) -> None:
        if not self._sees_something():
            # Only then a second time:
            #
            #   this thread   sees nothing ──────────────▶ looking: no ─▶ sees what is kept
            #   a taker                     keeps one ─▶ looking? yes: it runs the next task
            self._looking = False
            if not self._sees_something():
                self._rest(until_wanted=True)
                return
        self._rest(until_wanted=False)

    def _rest(self, *, until_wanted: bool) -> None:
        with self._lock:
            if not (until_wanted and self._looking) and not self._closed:
                self._clock.wait(self._wanted, None if until_wanted else LONG)

    def _sees_something(self) -> bool:
        if self._intake.hand_on_after(LONG):
            self._more()
        now = self._clock.elapsed()
        with self._lock:
            kept = [series for series in self._series if series]
            owing = [(series, owed) for series in self._series if (owed := series.owed) is not None]
        under_way = [(series, owed) for series, owed in owing if not owed.hurried]
        for series, owed in under_way:
            if now - series.began > LONGEST_UNNOTED - LONG and owed.hurry():
                self._notes.submit(owed.pay)
        for series in kept:
            if now - series.since > LONGEST_KEPT - LONG:  # it looks again only after that
                self._settle_all(series)
        return bool(kept) or bool(under_way) or self._intake.led

    def _settle_all(self, series: Series) -> None:
        for held in series.take_all():
            self._settle(held)
