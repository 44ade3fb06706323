"""`Reports`: what a child process counts for its parent, which serves the metrics of both.

A child runs tasks, which send messages and so make calls; all else happens in the parent. It adds up what it sees and
hands it over with the end of each task, so that its parent's counters are those of all processes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

import msgspec

from cloudq.core.driver import SendResult
from cloudq.core.message import Message
from cloudq.core.observing import Observer


class SentCount(msgspec.Struct, frozen=True):
    """How many messages were sent.

    Attributes:
        queue: To which queue.
        task: Of which task.
        result: `stored`, `duplicate` or `failed`.
        count: How many, at least 1.
    """

    queue: str
    task: str
    result: str
    count: int


class CallCount(msgspec.Struct, frozen=True):
    """How many requests were made to the backend's service.

    Attributes:
        operation: The service's own name of it.
        queue: Of which queue; empty where it isn't one queue's.
        failed: Whether they failed.
        count: How many, at least 1.
        seconds: How long they took together.
    """

    operation: str
    queue: str
    failed: bool
    count: int
    seconds: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted since the last report.

    Attributes:
        sent: Messages that were sent.
        calls: Requests that were made.
    """

    sent: Sequence[SentCount] = ()
    calls: Sequence[CallCount] = ()


def result_of(result: SendResult) -> str:
    """What became of a message that was sent, in the word of the metrics' label `result`."""
    if result.error is not None:
        return "failed"
    return "duplicate" if result.duplicate else "stored"


class Reports(Observer):
    """Counts in a child process. Thread-safe: what a task's own threads send counts as well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Guarded by the lock: since the last report. What they are counted by is bounded by the program's own code.
        self._sent: Counter[tuple[str, str, str]] = Counter()
        self._calls: Counter[tuple[str, str, bool]] = Counter()
        self._seconds: Counter[tuple[str, str, bool]] = Counter()

    def sent(self, message: Message, result: SendResult) -> None:
        """Counts one."""
        with self._lock:
            self._sent[message.queue, message.task, result_of(result)] += 1

    def called(self, operation: str, queue: str | None, seconds: float, error: BaseException | None) -> None:
        """Counts one."""
        key = operation, queue or "", error is not None
        with self._lock:
            self._calls[key] += 1
            self._seconds[key] += seconds  # type: ignore[assignment]  # a Counter adds up any numbers

    def take(self) -> Report | None:
        """What was counted since the last one; `None`: nothing."""
        if not self._sent and not self._calls:  # as nearly always: most tasks send nothing
            return None
        with self._lock:
            sent, calls, seconds = self._sent, self._calls, self._seconds
            self._sent, self._calls, self._seconds = Counter(), Counter(), Counter()
        return Report(
            sent=[SentCount(*key, count) for key, count in sent.items()],
            calls=[CallCount(*key, count, float(seconds[key])) for key, count in calls.items()],
        )
