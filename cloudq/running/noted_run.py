"""`NotedRun`: a run of this process that is noted in the store, from its start to its end.

```
 handler   ├──────── progress ── progress ─────────────────────────┤ end ─▶ done, its result
 notes     │running      │ at most one a second       │ every 10 s │
 somebody  ·········································· cancel ·······│
 handler                                               └─▶ told at the next note: context.cancelled; a coroutine is
                                                           cancelled
```
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Event, Lock
from typing import Final, NamedTuple

from cloudq.core.clock import Clock
from cloudq.core.failure import words_of
from cloudq.core.run_life import REPORT_EVERY, RunState
from cloudq.core.run_notes import Run
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import BackendError, StoreUnavailable
from cloudq.running.heartbeat import Heartbeat

logger = SafeLogger("cloudq")

PROGRESS_EVERY: Final = timedelta(seconds=1)
"""A task's progress is written no more often."""
END_AGAIN: Final = timedelta(seconds=15)
ENDS: Final = 8
_ZERO: Final = timedelta(0)


class _End(NamedTuple):
    """What became of a run, as `Run.end` takes it."""

    state: RunState
    reason: str
    result: bytes | None = None
    progress: tuple[float, float | None] | None = None
    delay: timedelta = _ZERO


_INTERRUPTED: Final = _End(RunState.WAITING, "its run was interrupted")
_BESIDE: Final = _End(RunState.SUCCEEDED, "result not kept: another run has taken over its idempotency key")


class NotedRun:
    """What notes a run. Thread-safe; `renew` and `end` ask the store, all else answers at once.

    Args:
        run: The run in the store.
        heartbeat: Writes its note again while it runs; `None` for edges and tools without one: then only progress is
            written, by the caller, and no wish is read but with it.
        clock: Where the time comes from.
        lease_lost: To be set once the run is another's.
        said: How log lines name its message.

    Attributes:
        cancelled: Set once it was read that somebody wants it cancelled.
        stopped: Whether its coroutine was cancelled for that.
    """

    def __init__(self, run: Run, heartbeat: Heartbeat | None, clock: Clock, *, lease_lost: Event, said: str) -> None:
        self._run = run
        self._heartbeat = heartbeat
        self._clock = clock
        self._lease_lost = lease_lost
        self._said = said
        self.cancelled = Event()
        self.stopped = False
        self._lock = Lock()
        # Guarded by the lock.
        self._progress: tuple[float, float | None] | None = None
        self._planned = False
        self._ended = False
        self._stop: Callable[[], None] | None = None
        self._written = clock.elapsed()
        self.renew_at = self._written + REPORT_EVERY

    def begin(self) -> None:
        """From now on its note is written again."""
        if self._run.unwanted:
            self._tell()
        if self._heartbeat is not None:
            self._heartbeat.add(self)

    # ── what its task does ───────────────────────────────────────────────────────────────────────────────

    def progress(self, done: float, total: float | None) -> None:
        """Keeps how far it has come, to be written soon: never waits for the store."""
        now = self._clock.elapsed()
        with self._lock:
            self._progress = done, total
            if self._planned or self._ended:
                return
            due = self._written + PROGRESS_EVERY - now
            if self._heartbeat is None and due > _ZERO:
                return  # the next call writes it, or the end
            self._planned = True
        if self._heartbeat is None:
            self.renew()
        else:
            self._heartbeat.aside(self.renew, max(_ZERO, due))

    def on_cancel(self, stop: Callable[[], None] | None) -> None:
        """Has `stop` called, in some thread, once somebody wants it cancelled; `None`: nothing any more."""
        with self._lock:
            self._stop = stop
            told = stop is not None and self.cancelled.is_set()
        if told and stop is not None:
            stop()

    # ── its notes ────────────────────────────────────────────────────────────────────────────────────────

    def renew(self) -> None:
        """Writes that it is alive, and how far it has come; reads whether it is wanted. See `Beating`. Never raises."""
        with self._lock:
            self._planned = False
            progress, self._progress = self._progress, None
            self._written = self._clock.elapsed()
            self.renew_at = self._written + REPORT_EVERY
            if self._ended:
                self._progress = progress
                return
        try:
            mine = self._run.report(*(progress or (None, None)))
        except BackendError as error:
            with self._lock:
                self._progress = self._progress or progress
            logger.warning("%s runs, and couldn't be noted so: %s", self._said, words_of(error))
            return
        if self._run.unwanted:
            self._tell()
        if not mine and not self._ended:
            self._forget()
            self._lease_lost.set()
            logger.warning("%s is run by another worker now: what becomes of this run is noted no more", self._said)

    def end(self, state: RunState, reason: str, result: bytes | None, *, delay: timedelta = _ZERO) -> None:
        """Notes what became of it. What can't be noted now is tried again aside for two minutes.

        It raises nothing but what ends its caller, whose time is over, say: that is tried again aside just so.

        Args:
            state: What became of it.
            reason: Why.
            result: Its result as JSON.
            delay: Of what will be tried again, how far away that is.
        """
        self._forget()
        with self._lock:
            end = _End(state, reason, result, self._progress, delay)
        noted = False
        try:
            noted = self._end(end)
        finally:
            if not noted:
                self._end_aside(end, ENDS)

    def end_beside(self) -> None:
        """It is done, but another run has taken its claim over: what is recorded is that one's. Never blocks or raises.

        If that one is of the same message, it has this note by then, or will soon. If it is another's, of the same key,
        nobody else says that this message is done. So that is noted later, if the note is its own still.
        """
        self._forget()
        if self._heartbeat is not None:
            self._end_aside(_BESIDE, ENDS)

    def give_up(self) -> None:
        """The run was interrupted: it waits for its message to be handed over again. Never blocks or raises.

        What has ended was not interrupted, be its end noted or not yet.
        """
        with self._lock:
            if self._ended:
                return
        self._forget()
        if self._heartbeat is not None:
            self._heartbeat.aside(self._give_back)

    def _give_back(self) -> None:
        self._end(_INTERRUPTED)

    def _forget(self) -> None:
        with self._lock:
            self._ended = True
        if self._heartbeat is not None:
            self._heartbeat.remove(self)

    def _tell(self) -> None:
        with self._lock:
            self.cancelled.set()
            stop = self._stop
        if stop is not None:
            stop()

    def _end(self, end: _End) -> bool:
        try:
            if not self._run.end(*end):
                logger.warning("%s is %s, and another run of it is what is noted", self._said, end.state.value)
        except StoreUnavailable as error:
            logger.warning("%s is %s, and couldn't be noted so: %s", self._said, end.state.value, words_of(error))
            return False
        except BackendError as error:
            logger.warning("%s is %s, and can't be noted so: %s", self._said, end.state.value, words_of(error))
        return True

    def _end_aside(self, end: _End, left: int) -> None:
        if left and self._heartbeat is not None:

            def again() -> None:
                if not self._end(end):
                    self._end_aside(end, left - 1)

            self._heartbeat.aside(again, END_AGAIN)
