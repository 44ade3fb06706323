"""`Heartbeat`: renews what this process has claimed, for as long as its handlers run.

```
 claim     ├──────── lease ────────┤
 beats     ·······│├──────── lease ────────┤          a third of the lease before: two more may fail
           ·······│·······│├──────── lease ────────┤
 end       ·······│·······│···│ completed, or released: nothing is renewed any more
```
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple, Protocol

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.core.shield import shielded

logger = SafeLogger("cloudq")

CALLS_AT_ONCE: Final = 4
# A wait doesn't notice that the machine was suspended (see `Clock.wait`). So what is due later needs no wake-up.
SLICE: Final = timedelta(seconds=1)
# The thread ends when it had nothing to do for that long.
IDLE: Final = timedelta(minutes=2)
# After a look that failed, in real time, since the clock itself may be what failed.
PAUSE_SECONDS: Final = 0.1


class Beating(Protocol):
    """What is renewed. All is by `Clock.elapsed`."""

    @property
    def renew_at(self) -> timedelta:
        """When it is to be renewed next."""
        ...

    def renew(self) -> None:
        """Renews it, and sets `renew_at` anew. May block, for as long as a store's call. What raises is given up."""
        ...


class _Job(NamedTuple):
    due: timedelta
    order: int  # unique, so that calls are never compared
    call: Callable[[], None]


class Heartbeat:
    """Calls `renew` of each of those that it is given, when it is due, in one thread of its own. Thread-safe.

    They are held weakly: what nobody else has any more isn't renewed. A fork inherits none of them.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._order = itertools.count()
        self._changed = threading.Condition()
        # All below is guarded by its lock.
        self._beating: weakref.WeakSet[Beating] = weakref.WeakSet()
        self._jobs: list[_Job] = []
        self._thread: threading.Thread | None = None
        self._wake_at = timedelta(0)
        self._used = timedelta(0)  # the thread's own
        _heartbeats.add(self)

    @shielded
    def add(self, beating: Beating) -> None:
        """From now on it is renewed."""
        with self._changed:
            self._beating.add(beating)
            self._see_to_it(beating.renew_at)

    @shielded
    def remove(self, beating: Beating) -> None:
        """It is renewed no more, but for a renewal that is under way."""
        with self._changed:
            self._beating.discard(beating)

    @shielded
    def aside(self, call: Callable[[], None], delay: timedelta = timedelta(0)) -> None:
        """Has the thread make a call that nobody waits for, not before `delay` is over."""
        with self._changed:
            job = _Job(self._clock.elapsed() + delay, next(self._order), call)
            heapq.heappush(self._jobs, job)
            self._see_to_it(job.due)

    def forget(self) -> None:
        """In the child of a fork: a thread that isn't here may hold the lock, and the claims are the parent's."""
        self._changed = threading.Condition()
        self._beating, self._jobs, self._thread = weakref.WeakSet(), [], None

    def _see_to_it(self, due: timedelta) -> None:
        """With the lock held: the thread looks at the latest then."""
        if self._thread is not None:
            if due < self._wake_at:
                self._changed.notify_all()
            return
        thread = threading.Thread(target=self._run, name="cloudq-claims", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            # The next claim tries again.
            logger.exception("no thread can be started, so claims of idempotency keys aren't renewed")
            return
        self._thread = thread

    # ── in the thread ────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        self._used = self._clock.elapsed()
        while True:
            try:
                if not self._look():
                    return
            except BaseException:
                with self._changed:
                    if not self._beating and not self._jobs:
                        self._thread = None  # nobody needs it
                        return
                logger.exception("renewing claims of idempotency keys failed, trying again")
                time.sleep(PAUSE_SECONDS)

    def _look(self) -> bool:
        """Makes the calls that are due, or waits for a while. `False`: this thread is to end."""
        with self._changed:
            if self._thread is not threading.current_thread():
                return False  # this is a fork's, whose claims are none of its parent's
            now = self._clock.elapsed()
            calls = self._due(now)
            if calls or self._beating or self._jobs:
                self._used = now
            elif now - self._used >= IDLE:
                self._thread = None
                return False
            if not calls:
                self._wait(now)
                return True
        _make(calls)
        return True

    def _due(self, now: timedelta) -> list[Callable[[], None]]:
        """Renewals first: they can come too late."""
        due = [beating for beating in self._beating if beating.renew_at <= now]
        calls: list[Callable[[], None]] = [partial(self._renew, beating) for beating in due]
        while self._jobs and self._jobs[0].due <= now:
            calls.append(heapq.heappop(self._jobs).call)
        return calls

    def _renew(self, beating: Beating) -> None:
        try:
            beating.renew()
        except BaseException:
            self.remove(beating)  # or it would be due forever
            raise

    def _wait(self, now: timedelta) -> None:
        ahead = [beating.renew_at for beating in self._beating]
        if self._jobs:
            ahead.append(self._jobs[0].due)
        self._wake_at = min([now + SLICE, *ahead])
        self._clock.wait(self._changed, self._wake_at - now)


def _make(calls: Sequence[Callable[[], None]]) -> None:
    """Makes them all, several at once: a slow store must not keep the last ones waiting for the first."""
    if len(calls) > 1:
        # Its threads end with it, unlike those of `core.threads`, which wait by the clock for more.
        with suppress(RuntimeError), ThreadPoolExecutor(min(CALLS_AT_ONCE, len(calls)), "cloudq-claims") as threads:
            list(threads.map(_call, calls))
            return
    for call in calls:  # also where no thread can be started, or the interpreter ends
        _call(call)


def _call(call: Callable[[], None]) -> None:
    try:
        call()
    except BaseException:  # the thread is shared: whatever one raises is its own
        logger.exception("a claim of an idempotency key couldn't be looked after")


_heartbeats: Final[weakref.WeakSet[Heartbeat]] = weakref.WeakSet()


def _after_fork() -> None:
    for heartbeat in list(_heartbeats):
        heartbeat.forget()


os.register_at_fork(after_in_child=_after_fork)
