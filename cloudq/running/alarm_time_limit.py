"""Time limits of sync tasks in a process's main thread: a timer signal."""

from __future__ import annotations

import signal
import time
from contextlib import AbstractContextManager
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Final

from cloudq.core.shield import Ended, Interrupter, set_interrupter
from cloudq.running.limit_stages import exceeded, soft_exceeded
from cloudq.running.loop_jumps import at_uncovered_jump, interruptions_skip_handlers

# An alarm that arrives where it would do harm is set again for this long, at most this many times.
_AGAIN_SECONDS: Final = 0.001
_MOST_AGAIN: Final = 500
# Of a timer: 0 would stop it.
_AT_ONCE: Final = 0.000001


class AlarmTimeLimit:
    """A time limiter for tasks in a process's main thread: a timer signal, which interrupts blocking calls too.

    It uses SIGALRM, so tasks of such a process can't. The process has one timer: it is set for a warning first, where
    there is one, and then for the end.
    """

    def __init__(self) -> None:
        self._guarded: timedelta | None = None
        self._ends = 0.0
        self._insists = False
        self._warning: _AlarmWarning | None = None
        self._held = 0
        self._kept = False
        self._again = 0
        signal.signal(signal.SIGALRM, self._expire)

    def __call__(self, limit: timedelta) -> AbstractContextManager[None]:
        """Guards one block."""
        return _AlarmGuard(self, limit)

    def start(self, limit: timedelta) -> None:
        """Starts the timer."""
        self._insists, self._warning = False, None
        self._ends = time.monotonic() + limit.total_seconds()
        self._guarded = limit
        self._start()

    def stop(self) -> timedelta | None:
        """Stops the timer. Returns the limit that it was for."""
        # In one step: a signal that was caught before the timer stopped finds nothing to interrupt.
        limit, self._guarded = self._guarded, None
        signal.setitimer(signal.ITIMER_REAL, 0)
        return limit

    def insist(self) -> None:
        """See `Staged`."""
        self._insists = True

    def end_after(self, limit: timedelta) -> None:
        """See `Staged`."""
        if self._guarded is not None and limit < self._guarded:
            self._guarded = limit
            self._ends = min(self._ends, time.monotonic() + limit.total_seconds())
            self._start()

    def warn_after(self, limit: timedelta) -> AbstractContextManager[None]:
        """See `Staged`."""
        return _AlarmWarning(self, limit)

    def begin_warning(self, warning: _AlarmWarning) -> None:
        """Sets the timer for it, unless the end comes first."""
        if warning.ends < self._ends:
            self._warning = warning
            self._start()

    def end_warning(self, warning: _AlarmWarning) -> None:
        """Sets the timer for the end again."""
        if self._warning is warning:
            self._warning = None  # in one step, as above
            self._start()

    def _start(self) -> None:
        self._again = 0
        ends = self._ends if self._warning is None else self._warning.ends
        signal.setitimer(signal.ITIMER_REAL, max(_AT_ONCE, ends - time.monotonic()))

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
        elif (warning := self._warning) is not None:
            self._warning = None
            self._start()
            raise soft_exceeded(warning.limit)
        elif time.monotonic() < self._ends:
            self._start()  # it was a warning's, whose block has ended
        elif self._insists:
            raise Ended
        else:
            raise exceeded(self._guarded)

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
        self._alarm.start(self._limit)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        limit = self._alarm.stop() or self._limit
        set_interrupter(self._before)
        if isinstance(error, Ended):
            raise exceeded(limit) from error


class _AlarmWarning:
    """The earlier stage of a guarded block's limit: a block within it."""

    __slots__ = ("_alarm", "ends", "limit")

    def __init__(self, alarm: AlarmTimeLimit, limit: timedelta) -> None:
        self._alarm = alarm
        self.limit = limit
        self.ends = 0.0

    def __enter__(self) -> None:
        self.ends = time.monotonic() + self.limit.total_seconds()
        self._alarm.begin_warning(self)

    def __exit__(self, *_: object) -> None:
        self._alarm.end_warning(self)
