"""One run of a task, watched: it can be stopped, or ended, at each point that it reaches."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import datetime
from threading import Event
from types import CodeType
from typing import Any, Final

from cloudq.core.claiming import Begun
from cloudq.core.delivery import Delivery
from cloudq.core.handler import Handler, Job
from cloudq.core.message import Message
from cloudq.tasks.context import Context
from cloudq.testing.redelivery.lines import place
from cloudq.testing.redelivery.points import Crash, watching

BEFORE: Final = "before its first line"
AFTER: Final = "after its last line"
ACKNOWLEDGING: Final = "before its acknowledgement"
CALLED_FROM: Final = " (from "  # a point is in what the task calls; then its own line comes
# The names of more points than this aren't kept, and nothing happens at these.
MOST_POINTS: Final = 5_000
# The real time after which what never ends is an error.
PATIENCE: Final = 30.0


class WatchedRun:
    """What happens to a run, and what it reached. Implements `points.Watcher`.

    Args:
        all_lines: Whether each line is a point, or only those within `crash_points`.
        task: The code of the task's function: a report says which of its lines led to a point elsewhere.
        pause_at: The number of the point at which it waits for `go_on`.
        crash_at: The number of the point at which it ends.
        die: What ends it; may raise `Crash`, or never return.

    Attributes:
        points: What it reached, in order.
        paused_at: Where it was paused.
        crashed_at: Where it crashed.
        stopped: Set while it is paused, and once it has ended.
        all_lines: See above.
        marked: How many blocks of `crash_points` are entered.
    """

    def __init__(
        self,
        *,
        all_lines: bool = True,
        task: CodeType | None = None,
        pause_at: int | None = None,
        crash_at: int | None = None,
        die: Callable[[str], None] | None = None,
    ) -> None:
        self.points: list[str] = []
        self.paused_at: str | None = None
        self.crashed_at: str | None = None
        self.stopped = threading.Event()
        self.all_lines = all_lines
        self.marked = 0
        self._going_on = threading.Event()
        self._task = task
        self._pause_at = pause_at
        self._crash_at = crash_at
        self._die = die or _raise
        self._lock = threading.Lock()  # a task's own threads reach points, too
        self._over = False

    def reach(self, point: str) -> None:
        """Counts the point, and does what is to happen there."""
        if self._over:
            return  # a thread that the task left behind
        if self.crashed_at is not None:
            if point in {AFTER, ACKNOWLEDGING}:
                raise Crash(point)  # the task's own code stopped the crash, as no real one could be
            return  # the task tidies up
        with self._lock:
            number = len(self.points)
            if number == MOST_POINTS:
                return
            self.points.append(point)
        if number == self._pause_at:
            self.paused_at = self._explained(point)
            self.stopped.set()
            if not self._going_on.wait(PATIENCE):
                raise Crash(point)  # the tester itself has ended
        if number == self._crash_at:
            self.crashed_at = self._explained(point)
            self._die(self.crashed_at)

    def _explained(self, point: str) -> str:
        """The point, and the line of the task that led to it, where that is another one."""
        task, frame = self._task, sys._getframe(2)  # that of what reached the point
        while task is not None and frame is not None:
            code = frame.f_code
            if (code.co_filename, code.co_qualname) == (task.co_filename, task.co_qualname):
                line = place(code.co_filename, frame.f_lineno)
                return point if point.endswith(line) else f"{point}{CALLED_FROM}{line})"
            frame = frame.f_back  # type: ignore[assignment]  # the outermost one has none
        return point

    def go_on(self) -> None:
        """Has the paused run go on."""
        self.stopped.clear()
        self._going_on.set()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self._over

    def end(self) -> None:
        """It is over: nothing happens at any point any more."""
        self._over = True
        self.stopped.set()


class WatchedHandler:
    """A task's definition, whose runs are watched by whom `points.watching` names. A `Handler`.

    What isn't said here is the definition's own, so that each step of the `Processor` finds what it asks for.
    """

    def __init__(self, handler: Handler[Context]) -> None:
        self._handler = handler

    def __getattr__(self, name: str) -> Any:
        """What the definition has."""
        return getattr(self._handler, name)

    def bind(
        self,
        delivery: Delivery,
        message: Message,
        *,
        deadline: datetime | None,
        lease_lost: Event,
        claim: Begun | None = None,
    ) -> WatchedJob:
        """The run of the task, watched."""
        return WatchedJob(self._handler.bind(delivery, message, deadline=deadline, lease_lost=lease_lost, claim=claim))


class WatchedJob:
    """A `Job` with points before it and after it."""

    def __init__(self, job: Job[Context]) -> None:
        self._job = job

    def __getattr__(self, name: str) -> Any:
        """What the job has."""
        return getattr(self._job, name)

    def run(self) -> object:
        """Runs a sync handler."""
        _reach(BEFORE)
        result = self._job.run()
        _reach(AFTER)
        return result

    async def arun(self) -> object:
        """Runs an async handler."""
        _reach(BEFORE)
        result = await self._job.arun()
        _reach(AFTER)
        return result


def _reach(point: str) -> None:
    run = watching.get()
    if run is not None:
        run.reach(point)


def _raise(point: str) -> None:
    raise Crash(point)
