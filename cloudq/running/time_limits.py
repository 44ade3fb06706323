"""Time limits of sync tasks: `TimeLimitExceeded` is raised in the block that runs too long, and nowhere else."""

from __future__ import annotations

import ctypes
import heapq
import itertools
import platform
import sys
import threading
from contextlib import AbstractContextManager
from datetime import timedelta
from types import TracebackType
from typing import Final, Protocol

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.core.shield import Ended, Interrupter, interrupter, set_interrupter
from cloudq.core.threads import Threads
from cloudq.errors import TimeLimitExceeded
from cloudq.running.limit_stages import exceeded, soft_exceeded
from cloudq.running.loop_jumps import interruptions_skip_handlers

logger = SafeLogger("cloudq.worker")

TIDY_AT: Final = 256
# A machine that was suspended is noticed within this (see `Clock.wait`).
_SLICE: Final = timedelta(seconds=1)

_SKIPS: Final = (
    "this Python (%s) may skip `finally` and `with`, and leave locks taken, when a time limit strikes in a loop inside "
    "them (CPython issue 130279): use --processes, or another release; see 'Run a worker', 'Time limits'"
)


class _Expired(TimeLimitExceeded):
    """The exception raised in the block. The interpreter makes it, without arguments, in the thread it arrives in."""

    def __init__(self) -> None:
        super().__init__("the task ran longer than its time limit")
        _note_arrival()


class _Ended(Ended):
    """The same where the end insists."""

    def __init__(self) -> None:
        super().__init__()
        _note_arrival()


class _Warned(TimeLimitExceeded):
    """The same at the earlier of two stages."""

    def __init__(self) -> None:
        super().__init__("the task ran longer than its soft time limit")
        guard = interrupter()
        if isinstance(guard, _Guard) and guard.warning is not None:
            guard.warning.arrived = True


def _note_arrival() -> None:
    guard = interrupter()
    if isinstance(guard, _Guard):
        guard.arrived = True


class _Nothing(BaseException):
    """Arrives in place of what was taken back."""


class _Watched(Protocol):
    """What is fired once its time is over, with the lock held."""

    closed: bool

    def fire(self) -> None:
        """Raises its error, or keeps it."""
        ...


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
        self._watched: list[tuple[timedelta, int, _Watched]] = []
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

    def watch(self, watched: _Watched, limit: timedelta) -> None:
        """Fires it once `limit` is over."""
        self._have_watcher()  # first: from the push on the error may come at any step
        with self.lock:
            if len(self._watched) >= self._tidy_at:
                # Blocks that ended in time are still listed until their time is over, which may be hours.
                self._watched = [entry for entry in self._watched if not entry[2].closed]
                heapq.heapify(self._watched)
                self._tidy_at = TIDY_AT + 2 * len(self._watched)
            heapq.heappush(self._watched, (self._clock.elapsed() + limit, next(self._order), watched))
            if self._watched[0][2] is watched:
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

    A thread has room for one error on its way: the end takes the place of a warning, and none follows on it.
    """

    __slots__ = (
        *("_before", "_held", "_kept", "_kind", "_limit", "_limits", "_thread"),
        *("arrived", "closed", "fired", "warning"),
    )

    def __init__(self, limits: ThreadTimeLimits, limit: timedelta) -> None:
        self._limits = limits
        self._limit = limit
        self._thread = threading.get_ident()
        self._kind: type[_Expired | _Ended] = _Expired
        self.closed = False
        self.fired = False
        self.arrived = False
        self.warning: _Warning | None = None
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
                    if self.fired or self._warns:
                        _take_back(self._thread)
                set_interrupter(self._before)
                break
            except (_Expired, _Ended, _Warned):
                # It arrived in the lines above. Each is fired once only; the block had ended.
                continue
        if isinstance(error, (_Expired, Ended)):
            raise exceeded(self._limit) from error

    def insist(self) -> None:
        """See `Staged`."""
        self._kind = _Ended

    def end_after(self, limit: timedelta) -> None:
        """See `Staged`."""
        if limit < self._limit:
            self._limit = limit
            self._limits.watch(self, limit)

    def warn_after(self, limit: timedelta) -> AbstractContextManager[None]:
        """See `Staged`."""
        return _Warning(self, limit)

    def begin_warning(self, warning: _Warning) -> None:
        """Has it be the one of this block."""
        self.warning = warning
        self._limits.watch(warning, warning.limit)

    def end_warning(self, warning: _Warning) -> None:
        """Closes it as the block is closed; the end of the run may come up here as anywhere in the block."""
        while True:
            try:
                with self._limits.lock:
                    taken_back, warning.closed = self._warns, True
                    if taken_back:
                        _take_back(self._thread)
                break
            except _Warned:
                continue  # as above

    @property
    def _warns(self) -> bool:
        """Whether a warning is on its way. Asked with the lock held."""
        warning = self.warning
        return warning is not None and warning.fired and not (warning.arrived or warning.closed or self.fired)

    def fire(self) -> None:
        """Raises the error in the block, or keeps it. Called with the lock held."""
        if self.closed or self.fired:
            return
        self.fired = True
        if self._held:
            self._kept = True
        else:
            _raise_in(self._thread, self._kind)

    def fire_warning(self, warning: _Warning) -> None:
        """As `fire`, of its earlier stage."""
        if self.closed or self.fired or warning.closed:
            return
        if self._held:
            warning.kept = True
        else:
            warning.fired = True
            _raise_in(self._thread, _Warned)

    def hold(self) -> None:
        """Keeps the error from now on, also one that is on its way."""
        with self._limits.lock:
            if not self._held:
                if self.fired and not self.arrived:
                    _take_back(self._thread)
                    self._kept = True
                elif self._warns and self.warning is not None:
                    _take_back(self._thread)
                    self.warning.kept, self.warning.fired = True, False
            self._held += 1

    def let_go(self) -> None:
        """Raises what was kept, at the end of the outermost hold."""
        raised: type[_Expired | _Ended | _Warned] | None = None
        with self._limits.lock:
            self._held -= 1
            if not self._held:
                warning = self.warning
                if self._kept:
                    self._kept, raised = False, self._kind
                elif warning is not None and warning.kept and not (warning.closed or self.fired):
                    warning.kept, warning.fired, raised = False, True, _Warned
        if raised is not None:
            raise raised


class _Warning:
    """The earlier stage of a guarded block's limit: a block within it."""

    __slots__ = ("_guard", "arrived", "closed", "fired", "kept", "limit")

    def __init__(self, guard: _Guard, limit: timedelta) -> None:
        self._guard = guard
        self.limit = limit
        self.closed = self.fired = self.arrived = self.kept = False

    def __enter__(self) -> None:
        self._guard.begin_warning(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guard.end_warning(self)
        if isinstance(error, _Warned):
            raise soft_exceeded(self.limit) from error

    def fire(self) -> None:
        """Called with the lock held."""
        self._guard.fire_warning(self)


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
