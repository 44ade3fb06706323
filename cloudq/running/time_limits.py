"""Time limits of sync tasks: `TimeLimitExceeded` is raised in the block that runs too long, and nowhere else."""

from __future__ import annotations

import ctypes
import heapq
import itertools
import platform
import signal
import sys
import threading
from contextlib import AbstractContextManager
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.core.shield import Interrupter, interrupter, set_interrupter
from cloudq.core.threads import Threads
from cloudq.errors import TimeLimitExceeded
from cloudq.running.loop_jumps import at_uncovered_jump, interruptions_skip_handlers

logger = SafeLogger("cloudq.worker")

TIDY_AT: Final = 256
# A machine that was suspended is noticed within this (see `Clock.wait`).
_SLICE: Final = timedelta(seconds=1)
# An alarm that arrives where it would do harm is set again for this long, at most this many times.
_AGAIN_SECONDS: Final = 0.001
_MOST_AGAIN: Final = 500

_SKIPS: Final = (
    "this Python (%s) may skip `finally` and `with`, and leave locks taken, when a time limit strikes in a loop inside "
    "them (CPython issue 130279): use --processes, or another release; see 'Run a worker', 'Time limits'"
)


class _Expired(TimeLimitExceeded):
    """The exception raised in the block. The interpreter makes it, without arguments, in the thread it arrives in."""

    def __init__(self) -> None:
        super().__init__("the task ran longer than its time limit")
        guard = interrupter()
        if isinstance(guard, _Guard):
            guard.arrived = True


class _Nothing(BaseException):
    """Arrives in place of what was taken back."""


class ThreadTimeLimits:
    """A time limiter for tasks in threads: one thread watches all of them.

    The error is raised between two steps of Python code: a call that blocks in C (`time.sleep`, a socket without a
    time-out) is interrupted only when it returns. Where no thread can be started to watch, tasks run all the same, and
    the next one tries again; their limits hold from then on.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # A bare lock: `with` takes and frees it in single steps, between which nothing can be raised. A Condition's
        # `__enter__` is Python code, in which the error could arrive with the lock taken.
        self.lock = threading.Lock()
        self._changed = threading.Condition(self.lock)
        # Guarded by the lock.
        self._watched: list[tuple[timedelta, int, _Guard]] = []
        self._tidy_at = TIDY_AT
        self._order = itertools.count()
        self._closed = False
        self._watcher = Threads("cloudq-time-limits", 1)
        self._warned = False

    def __call__(self, limit: timedelta) -> AbstractContextManager[None]:
        """Guards one block."""
        return _Guard(self, limit)

    def close(self) -> None:
        """Ends the thread: what still runs is stopped no more."""
        with self.lock:
            self._closed = True
            self._changed.notify_all()
        self._watcher.close()

    def watch(self, guard: _Guard, limit: timedelta) -> None:
        """Fires the guard once `limit` is over."""
        self._have_watcher()  # first: from the push on the error may come at any step
        with self.lock:
            if len(self._watched) >= self._tidy_at:
                # Blocks that ended in time are still listed until their time is over, which may be hours.
                self._watched = [entry for entry in self._watched if not entry[2].closed]
                heapq.heapify(self._watched)
                self._tidy_at = TIDY_AT + 2 * len(self._watched)
            heapq.heappush(self._watched, (self._clock.elapsed() + limit, next(self._order), guard))
            if self._watched[0][2] is guard:
                self._changed.notify_all()

    def _have_watcher(self) -> None:
        if self._watcher.alive:
            return
        if not self._warned:
            self._warned = True
            if interruptions_skip_handlers():
                logger.warning(_SKIPS, platform.python_version())
        self._watcher.start(self._watch)

    def _watch(self) -> None:
        with self.lock:
            while not self._closed:
                now = self._clock.elapsed()
                while self._watched and (self._watched[0][2].closed or self._watched[0][0] <= now):
                    heapq.heappop(self._watched)[2].fire()
                self._clock.wait(self._changed, min(_SLICE, self._watched[0][0] - now) if self._watched else None)


class _Guard:
    """One guarded block, in the thread that made it.

    ```
     timer thread      lock ── open? fire: raised in that thread at its next step ── unlock
     handler's thread        block ............................ ends ─▶ __exit__: lock, close, take back ─▶ on
    ```

    Both sides decide under one lock. Before it is closed the error may still arrive, in the block or in `__exit__`,
    where it is caught; once it is closed nothing is fired, and what was fired and hasn't arrived is taken back. So it
    can't come up in the code behind the block, which may be another task's.

    While the block is in a shielded function the error isn't raised but kept; what was fired and hasn't arrived is
    taken back there in the same way, and is raised when the function has ended.
    """

    __slots__ = ("_before", "_held", "_kept", "_limit", "_limits", "_thread", "arrived", "closed", "fired")

    def __init__(self, limits: ThreadTimeLimits, limit: timedelta) -> None:
        self._limits = limits
        self._limit = limit
        self._thread = threading.get_ident()
        self.closed = False
        self.fired = False
        self.arrived = False
        self._held = 0
        self._kept = False
        self._before: Interrupter | None = None

    def __enter__(self) -> None:
        self._before = set_interrupter(self)
        self._limits.watch(self, self._limit)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while True:
            try:
                with self._limits.lock:
                    self.closed = True
                    if self.fired:
                        _take_back(self._thread)
                set_interrupter(self._before)
                break
            except _Expired:
                # It arrived in the lines above. It is fired once only, so this happens once; the block had ended.
                continue
        if isinstance(error, _Expired):
            raise _exceeded(self._limit) from error

    def fire(self) -> None:
        """Raises the error in the block, or keeps it. Called with the lock held."""
        if self.closed:
            return
        self.fired = True
        if self._held:
            self._kept = True
        else:
            _raise_in(self._thread, _Expired)

    def hold(self) -> None:
        """Keeps the error from now on, also one that is on its way."""
        with self._limits.lock:
            if not self._held and self.fired and not self.arrived:
                _take_back(self._thread)
                self._kept = True
            self._held += 1

    def let_go(self) -> None:
        """Raises what was kept, at the end of the outermost hold."""
        with self._limits.lock:
            self._held -= 1
            raised = self._kept and not self._held
            if raised:
                self._kept = False
        if raised:
            raise _Expired


def _take_back(thread: int) -> None:
    """Takes back what was fired at this thread and hasn't arrived.

    CPython 3.11 keeps a mark that such an error is on its way until one has arrived (seen on 3.11.7, not on 3.12 and
    3.13), and with the mark set a function that is traced (`sys.settrace`: debuggers, coverage) never begins. So one
    arrives, here.
    """
    _raise_in(thread, None)
    if sys.version_info >= (3, 12):
        return
    try:
        _raise_in(thread, _Nothing)
        for _ in range(10):
            pass  # it arrives in one of these steps, if it hasn't
    except _Nothing:
        pass
    except BaseException:  # of a signal's handler: that one came first
        _raise_in(thread, None)
        raise


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Has `kind` raised in another thread at its next step of Python code, or takes that back with `None`."""
    raised = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


def _exceeded(limit: timedelta) -> TimeLimitExceeded:
    return TimeLimitExceeded(f"the task ran longer than its time limit of {limit}")


class AlarmTimeLimit:
    """A time limiter for tasks in a process's main thread: a timer signal, which interrupts blocking calls too.

    It uses SIGALRM, so tasks of such a process can't.
    """

    def __init__(self) -> None:
        self._guarded: timedelta | None = None
        self._held = 0
        self._kept = False
        self._again = 0
        signal.signal(signal.SIGALRM, self._expire)

    def __call__(self, limit: timedelta) -> AbstractContextManager[None]:
        """Guards one block."""
        return _AlarmGuard(self, limit)

    def set(self, limit: timedelta | None) -> None:
        """Starts the timer, or stops it."""
        # First this, in one step: a signal that was caught before the timer stopped finds nothing to interrupt.
        self._guarded = limit
        self._again = 0
        signal.setitimer(signal.ITIMER_REAL, 0 if limit is None else limit.total_seconds())

    def hold(self) -> None:
        """Keeps the error from now on."""
        self._held += 1

    def let_go(self) -> None:
        """Raises what was kept, at the end of the outermost hold."""
        self._held -= 1
        if self._kept and not self._held:
            self._kept = False
            self._expire()

    def _expire(self, _number: int = signal.SIGALRM, frame: FrameType | None = None) -> None:
        if self._guarded is None:
            return
        if self._held:
            self._kept = True
        elif self._does_harm(frame) and self._again < _MOST_AGAIN:
            self._again += 1
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        else:
            raise _exceeded(self._guarded)

    @staticmethod
    def _does_harm(frame: FrameType | None) -> bool:
        """Whether raised here it would skip the task's `finally` and `with`. A step later it may not."""
        return frame is not None and interruptions_skip_handlers() and at_uncovered_jump(frame)


class _AlarmGuard:
    __slots__ = ("_alarm", "_before", "_limit")

    def __init__(self, alarm: AlarmTimeLimit, limit: timedelta) -> None:
        self._alarm = alarm
        self._limit = limit
        self._before: Interrupter | None = None

    def __enter__(self) -> None:
        self._before = set_interrupter(self._alarm)
        self._alarm.set(self._limit)

    def __exit__(self, *_: object) -> None:
        self._alarm.set(None)
        set_interrupter(self._before)
