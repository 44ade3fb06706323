"""`Waiters`: how idle receives learn of new messages, of this process and of others, without polling hot.

```
 receive A ─┐                          ┌── a send of this process: at once
 receive B ─┼── wait on one condition ◀┤
 receive C ─┘                          └── one watcher thread: every 40 ms, is there a new commit in the file?
```
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from threading import Condition, Event, Thread, current_thread
from typing import Final

from cloudq.core.clock import Clock
from cloudq.errors import BackendError
from cloudq.sqlite_file.faults import FileClosed
from cloudq.sqlite_file.mutex import Mutex, certainly

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
        self._mutex = Mutex()
        self._condition = Condition(self._mutex.lock)
        self._closing = Event()
        # One object for each receive that waits. A set, as taking the same one out twice changes nothing.
        self._waiting: set[object] = set()
        # All below is guarded by the mutex.
        self._watcher: Thread | None = None
        self._untold = False  # whether somebody couldn't tell of a change
        self.changes = 0
        """Counts what may have made a message ready. Read it before looking for one."""
        self.interrupts = 0
        """Counts the interrupts. Read it when a receive begins."""

    def wait(self, *, changes: int, interrupts: int, timeout: timedelta) -> bool:
        """Waits until something changed since the counts were read, or somebody interrupts, or the time is up.

        Returns:
            `False` if the clock said that the time was up.
        """
        if self._mutex.mine():
            return True  # in a signal handler that interrupted one of these: it looks again instead
        me = object()
        wait = partial(self._wait, me, changes, interrupts, timeout)
        return certainly(wait, partial(self._leave, me))

    def notify(self) -> None:
        """A message may have become ready."""
        # Without the mutex: who is about to wait is among those that wait before it looks at this count.
        self.changes += 1
        if self._waiting:
            self._wake()

    def interrupt(self) -> None:
        """Ends the waits under way."""
        self.interrupts += 1
        self.notify()

    def close(self) -> None:
        """Ends all waits for good, and the watcher."""
        self._closing.set()
        self.interrupt()
        self._wake()  # the watcher, too, which sleeps while nobody waits
        watcher = self._watcher
        if watcher is not None and watcher is not current_thread():
            watcher.join()

    def _wait(self, me: object, changes: int, interrupts: int, timeout: timedelta) -> bool:
        self._mutex.acquire()
        self._waiting.add(me)
        if self.changes != changes or self.interrupts != interrupts or self._closing.is_set():
            return True
        if not self._has_watcher():
            return self._clock.wait(self._condition, min(timeout, POLL)) or timeout > POLL
        if len(self._waiting) == 1:
            self._condition.notify_all()  # it sleeps while nobody waits
        return self._clock.wait(self._condition, timeout)

    def _has_watcher(self) -> bool:
        """Starts it if there is none. Without it, on a machine that starts no more threads, each looks by itself."""
        if self._watcher is None:
            watcher = Thread(target=self._watch, name="cloudq-sqlite-watcher", daemon=True)
            try:
                watcher.start()
            except RuntimeError:
                return False
            self._watcher = watcher
        return True

    def _leave(self, me: object) -> None:
        self._waiting.discard(me)
        self._mutex.free()

    def _wake(self) -> None:
        if self._mutex.mine():
            self._untold = True  # in a signal handler that interrupted one of these: the watcher tells them
        else:
            certainly(self._notify, self._mutex.free)

    def _notify(self) -> None:
        self._mutex.acquire()
        self._condition.notify_all()

    def _watch(self) -> None:
        # Kept while nobody waits, and unknown at first: so a commit between a receive's look and ours counts as new.
        seen: int | None = None
        while self._somebody_waits():
            pause = POLL
            try:
                version = self._data_version()
            except FileClosed:
                return
            except BackendError:
                # The receives meet the same error when they look, and report it.
                pause = _TROUBLED_POLL
                self.notify()
            else:
                if version != seen or self._untold:
                    seen, self._untold = version, False
                    self.notify()
            self._closing.wait(pause.total_seconds())

    def _somebody_waits(self) -> bool:
        """Waits for that. False once closed."""
        with self._condition:
            while not self._waiting and not self._closing.is_set():
                self._condition.wait()
            return not self._closing.is_set()
