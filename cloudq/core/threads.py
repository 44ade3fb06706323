"""`Threads`: a few daemon threads that run short or long jobs, now or later. The one thread pool of cloudq.

```
 submit ─▶ queue (by due time) ─▶ an idle thread ─▶ job
             └─ none idle: another thread, up to the bound; if none can be started, the next free thread takes it
```

Daemon threads, which the standard library's executor doesn't have: a task that never returns must not keep the process
alive. Nothing that a job raises ends its thread, and a machine that has no thread to give loses no job.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple, TypeAlias
from weakref import WeakSet

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.safe_log import SafeLogger

logger = SafeLogger("cloudq")

Job: TypeAlias = Callable[[], object]
"""What a thread runs. Its result is dropped; what it raises is logged."""

_NOW: Final = timedelta(0)
# A wait doesn't notice that the machine was suspended (see `Clock.wait`), so a delay is waited for in slices.
_SLICE: Final = timedelta(seconds=1)


class _Entry(NamedTuple):
    due: timedelta
    order: int  # unique, so that jobs are never compared
    job: Job


class Threads:
    """Runs jobs on up to `most` daemon threads, each started only when a job finds none idle. Thread-safe.

    A fork inherits neither the threads nor the jobs: those are the parent's.

    Args:
        name: For the threads, which are called `name-1`, `name-2` and so on.
        most: The most threads.
        clock: Where the time comes from.
        idle: A thread with nothing to do ends after this; `None`: only at `close`.
    """

    def __init__(self, name: str, most: int, *, clock: Clock = SYSTEM_CLOCK, idle: timedelta | None = None) -> None:
        if most < 1:
            raise ValueError(f"most is {most}: at least 1 thread is needed")
        self._name = name
        self._most = most
        self._clock = clock
        self._idle_time = idle
        self._order = itertools.count()
        self._closed = False
        # Reentrant, so that a signal's handler that submits doesn't wait for the very thread that it interrupted.
        self._changed = threading.Condition()
        # All below is guarded by its lock.
        self._jobs: list[_Entry] = []
        self._threads: set[threading.Thread] = set()
        self._free: set[threading.Thread] = set()  # those that run no job: they wait for one, or are on their way
        self._failing = False
        self._pid = os.getpid()
        _pools.add(self)

    def submit(self, job: Job, *, delay: timedelta = _NOW) -> bool:
        """Has one of the threads run `job`, not before `delay` is over. Never runs it in the caller's, never raises.

        Returns:
            Whether a thread will run it. `False`: there is no thread and none can be started, so it waits until a later
            `submit` or `catch_up` finds one (or `withdraw` it); or the pool is closed, and the job is dropped.
        """
        self._forget_if_forked()
        with self._changed:
            if self._closed:
                return False
            entry = _Entry(self._clock.elapsed() + delay, next(self._order), job)
            heapq.heappush(self._jobs, entry)
            failure = self._staff()
            if self._jobs[0] is entry:
                self._changed.notify()  # the thread that wakes up waits until this job is due
            served = bool(self._threads)
        self._report(failure)
        return served

    def start(self, job: Job) -> bool:
        """Has a thread run `job` at once, an idle one or a new one. Never raises.

        Returns:
            `False`: all are busy, and no other one can be started. The job is dropped.
        """
        self._forget_if_forked()
        with self._changed:
            if self._closed:
                return False
            now = self._clock.elapsed()
            ahead = sum(entry.due <= now for entry in self._jobs)
            heapq.heappush(self._jobs, _Entry(now, next(self._order), job))
            failure: Exception | None = None
            served = len(self._free) > ahead
            if not served:
                threads = len(self._threads)
                failure = self._staff()
                served = len(self._threads) > threads
            if served:
                self._changed.notify()
            else:
                self.withdraw(job)
        self._report(failure)
        return served

    def withdraw(self, job: Job) -> bool:
        """Takes back a job that no thread has begun. Returns whether it did: else it runs, has run, or is unknown."""
        with self._changed:
            for index, entry in enumerate(self._jobs):
                if entry.job == job:
                    del self._jobs[index]
                    heapq.heapify(self._jobs)
                    return True
            return False

    def catch_up(self) -> bool:
        """Tries again to start a thread for what waits, if there is none. Returns whether what waits will be run."""
        with self._changed:
            failure = self._staff()
            served = bool(self._threads) or not self._jobs
        self._report(failure)
        return served

    @property
    def alive(self) -> bool:
        """Whether there is a thread at the moment, busy or idle. Takes no lock."""
        return bool(self._threads)

    @property
    def starved(self) -> bool:
        """Whether the last attempt to start a thread failed and there is no other one: nothing runs here."""
        with self._changed:
            return self._failing and not self._threads

    def close(self) -> None:
        """Ends each thread once nothing that is due is left to it. Jobs whose time hasn't come are dropped."""
        with self._changed:
            self._closed = True
            now = self._clock.elapsed()
            self._jobs = [entry for entry in self._jobs if entry.due <= now]
            heapq.heapify(self._jobs)
            self._changed.notify_all()

    # ── threads ──────────────────────────────────────────────────────────────────────────────────────────

    def forget(self) -> None:
        """In the child of a fork: the lock may have been taken by a thread that isn't here."""
        self._changed = threading.Condition()
        self._jobs, self._threads, self._free = [], set(), set()
        self._failing = False
        self._pid = os.getpid()

    def _forget_if_forked(self) -> None:
        """In a child whose parent doesn't run Python's hooks when it forks, as uWSGI doesn't."""
        if self._pid != os.getpid():
            with _forgetting:
                if self._pid != os.getpid():
                    self.forget()

    def _staff(self) -> Exception | None:
        """Starts a thread if more is due than there are free ones, or something waits and there is none.

        Returns:
            Why that failed, the first time in a row.
        """
        if not self._jobs or len(self._threads) >= self._most:
            return None
        now = self._clock.elapsed()
        if len(self._free) >= max(1, sum(entry.due <= now for entry in self._jobs)):
            return None
        thread = threading.Thread(target=self._run, name=f"{self._name}-{len(self._threads) + 1}", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            failed_before, self._failing = self._failing, True
            return None if failed_before else error
        # Only now, as it may not start. The thread does the same, should an interruption come in between here.
        self._threads.add(thread)
        self._free.add(thread)
        self._failing = False
        return None

    def _report(self, failure: Exception | None) -> None:
        if failure is not None:
            logger.error("no thread can be started for %s: %s; it will be tried again", self._name, failure)

    def _run(self) -> None:
        thread = threading.current_thread()
        with self._changed:
            self._threads.add(thread)
            self._free.add(thread)
        try:
            while (job := self._next()) is not None:
                try:
                    job()
                except BaseException:  # the thread is shared: whatever a job raises is its own
                    logger.exception("a job of %s failed", self._name)
                del job  # what it holds must not live until the next one comes
        finally:
            with self._changed:
                self._threads.discard(thread)
                self._free.discard(thread)

    def _next(self) -> Job | None:
        """Waits for the next job that is due. `None`: this thread is to end."""
        failure: Exception | None = None
        thread = threading.current_thread()
        with self._changed:
            if thread in self._threads:
                self._free.add(thread)
            job = self._await()
            # Under the lock that saw what there is to do: a `submit` from now on doesn't count on this thread.
            self._free.discard(thread)
            if job is None:
                self._threads.discard(thread)
            elif self._jobs:
                # This thread will be busy: another one is to look after what still waits.
                self._changed.notify()
                failure = self._staff()
        self._report(failure)
        return job

    def _await(self) -> Job | None:
        since = self._clock.elapsed()
        # In a process that a job has forked, this thread isn't one of the pool's any more.
        while threading.current_thread() in self._threads:
            now = self._clock.elapsed()
            if self._jobs and self._jobs[0].due <= now:
                return heapq.heappop(self._jobs).job
            unused = not self._jobs and self._idle_time is not None and now - since >= self._idle_time
            if unused or self._closed:
                return None
            self._wait(now, since)
        return None

    def _wait(self, now: timedelta, since: timedelta) -> None:
        timeout: timedelta | None = None
        if self._jobs:
            timeout = min(_SLICE, self._jobs[0].due - now)
        elif self._idle_time is not None:
            timeout = self._idle_time - (now - since)
        self._clock.wait(self._changed, timeout)


_pools: WeakSet[Threads] = WeakSet()
# Of several threads in a new child one forgets. Never taken before a fork, but in a child that forks on at that moment.
_forgetting: Final = threading.Lock()


def _forget_threads() -> None:
    for pool in _pools:
        pool.forget()


os.register_at_fork(after_in_child=_forget_threads)
