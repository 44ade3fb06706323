"""`Waiters`: how idle receives learn of new messages, of this process and of others, without polling hot.

```
 receive A ─┐                          ┌── a send of this process: at once
 receive B ─┼── wait on one condition ◀┤
 receive C ─┘                          └── one watcher thread: every 40 ms, is there a new commit in the file?
```
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Condition, Event, Thread, current_thread
from typing import Final

from cloudq.core.clock import Clock
from cloudq.drivers.sqlite.faults import DriverClosed
from cloudq.errors import BackendError

# On average a message of another process is noticed after half of this. The look itself costs microseconds, but waking
# a sleeping thread costs up to 300 of them on a small virtual machine: at 20 ms that alone is 1.4 % of a core.
POLL: Final = timedelta(milliseconds=40)
# Between two looks at a database that can't be read.
_TROUBLED_POLL: Final = timedelta(seconds=1)


class Waiters:
    """Where receives wait.

    Args:
        data_version: Gives a number that changes with every commit of any process.
        clock: Decides when a wait's time is up. The watcher looks in real time: other processes have no other.
    """

    def __init__(self, data_version: Callable[[], int], clock: Clock) -> None:
        self._data_version = data_version
        self._clock = clock
        self._condition = Condition()
        self._closing = Event()
        # All below is guarded by the condition's lock.
        self._waiting = 0
        self._watcher: Thread | None = None
        self.changes = 0
        """Counts what may have made a message ready. Read it before looking for one."""
        self.interrupts = 0
        """Counts the interrupts. Read it when a receive begins."""

    def wait(self, *, changes: int, interrupts: int, until: datetime) -> bool:
        """Waits until something changed since the counts were read, or somebody interrupts, or that moment.

        Returns:
            `False` if the clock said that the time was up.
        """
        with self._condition:
            if self.changes != changes or self.interrupts != interrupts or self._closing.is_set():
                return True
            self._waiting += 1
            self._watch_if_unwatched()
            try:
                return self._clock.wait(self._condition, until - self._clock.now())
            finally:
                self._waiting -= 1

    def notify(self) -> None:
        """A message may have become ready."""
        with self._condition:
            self.changes += 1
            self._condition.notify_all()

    def interrupt(self) -> None:
        """Ends the waits under way."""
        with self._condition:
            self.interrupts += 1
            self._condition.notify_all()

    def close(self) -> None:
        """Ends all waits for good, and the watcher."""
        with self._condition:
            self._closing.set()
            self.interrupts += 1
            self._condition.notify_all()
            watcher = self._watcher
        if watcher is not None and watcher is not current_thread():
            watcher.join()

    def _watch_if_unwatched(self) -> None:
        if self._watcher is None:
            self._watcher = Thread(target=self._watch, name="cloudq-sqlite-watcher", daemon=True)
            self._watcher.start()
        elif self._waiting == 1:
            self._condition.notify_all()  # it sleeps while nobody waits

    def _watch(self) -> None:
        # Kept while nobody waits, and unknown at first: so a commit between a receive's look and ours counts as new.
        seen: int | None = None
        while self._somebody_waits():
            pause = POLL
            try:
                version = self._data_version()
            except DriverClosed:
                return
            except BackendError:
                # The receives meet the same error when they look, and report it.
                pause = _TROUBLED_POLL
                self.notify()
            else:
                if version != seen:
                    seen = version
                    self.notify()
            self._closing.wait(pause.total_seconds())

    def _somebody_waits(self) -> bool:
        """Waits for that. False once closed."""
        with self._condition:
            while not self._waiting and not self._closing.is_set():
                self._condition.wait()
            return not self._closing.is_set()
