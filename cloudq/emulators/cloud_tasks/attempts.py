"""The attempts that there were: what a test asks about."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from threading import Lock

import msgspec

from cloudq.emulators.cloud_tasks.attempting import Begun, End, Ended
from cloudq.emulators.cloud_tasks.names import queue_of
from cloudq.emulators.cloud_tasks.outgoing import Outgoing


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A dispatch of a task that has ended.

    Attributes:
        task: The task's name.
        number: Which dispatch of the task it was, from 1.
        method: The HTTP method.
        url: Where it was sent.
        end: How it ended.
        status: The worker's HTTP status, if it answered.
        reason: Why there was no answer.
        scheduled: When it was due.
        dispatched: When it began.
        ended: When it ended.
        forced: Whether it was `RunTask`'s.
        double: Whether it is the second of a dispatch that was doubled on purpose.
    """

    task: str
    number: int
    method: str
    url: str
    end: End
    status: int | None
    reason: str
    scheduled: datetime
    dispatched: datetime
    ended: datetime
    forced: bool
    double: bool

    @property
    def queue(self) -> str:
        """The queue's name."""
        return queue_of(self.task)


class AttemptLog:
    """The latest attempts. Thread-safe.

    Args:
        kept: How many.
    """

    def __init__(self, kept: int) -> None:
        self._lock = Lock()
        self._attempts: deque[Attempt] = deque(maxlen=kept)

    def note(
        self, task: str, request: Outgoing, begun: Begun, ended: Ended, now: datetime, *, double: bool = False
    ) -> None:
        """An attempt has ended."""
        attempt = Attempt(
            task=task,
            number=begun.number,
            method=request.method,
            url=request.url,
            end=ended.end,
            status=ended.status,
            reason=ended.reason,
            scheduled=begun.scheduled,
            dispatched=begun.dispatched,
            ended=now,
            forced=begun.forced,
            double=double,
        )
        with self._lock:
            self._attempts.append(attempt)

    def find(self, name: str | None = None) -> list[Attempt]:
        """Those of a task or of a queue, or all; in the order in which they ended."""
        with self._lock:
            found = list(self._attempts)
        return [a for a in found if name in {a.task, a.queue}] if name is not None else found

    def clear(self) -> None:
        """Forgets them."""
        with self._lock:
            self._attempts.clear()
