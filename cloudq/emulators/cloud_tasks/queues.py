"""A queue: its tasks, and which of them may be dispatched when. Pure: the time is an argument."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from cloudq.emulators.cloud_tasks import throttle
from cloudq.emulators.cloud_tasks.backoff import Retries, specified
from cloudq.emulators.cloud_tasks.bucket import TokenBucket
from cloudq.emulators.cloud_tasks.schedule import Schedule
from cloudq.emulators.cloud_tasks.stored import StoredTask
from cloudq.emulators.cloud_tasks.throttle import Throttle

RUNNING: Final = 1
PAUSED: Final = 2
# "After a task is 31 days old, the task will be deleted regardless of whether it was dispatched or not."
RETENTION: Final = timedelta(days=31)


class TaskQueue:
    """A queue and its tasks.

    Args:
        pb: The queue, with nothing left unspecified; the queue's own from here on.
        now: The present moment.
        relaxed: Whether lengths of time keep their fractions of a second.
    """

    def __init__(self, pb: Any, now: datetime, *, relaxed: bool) -> None:
        self.pb = pb
        self.name: str = pb.name
        self.tasks: dict[str, StoredTask] = {}
        self.schedule: Schedule[StoredTask] = Schedule()
        self.running = 0  # attempts under way
        self.gone = False
        self.throttle = Throttle(throttle.RELAXED_STEP, throttle.RELAXED_MOST) if relaxed else Throttle()
        self._relaxed = relaxed
        self._bucket = TokenBucket(pb.rate_limits.max_dispatches_per_second, pb.rate_limits.max_burst_size, now)
        self._retries = specified(pb.retry_config, relaxed=relaxed)
        self._ends: Schedule[StoredTask] = Schedule()  # of the retention

    def configure(self, pb: Any, now: datetime) -> None:
        """Goes on with other settings. Tasks, state and tokens stay."""
        self.pb.CopyFrom(pb)
        limits = pb.rate_limits
        self._bucket.change(limits.max_dispatches_per_second, limits.max_burst_size, now)
        self._retries = specified(pb.retry_config, relaxed=self._relaxed)

    def retries_of(self, task: StoredTask) -> Retries:
        """How the task is tried again: "If present, this overrides the Queue.retry_config for this task"."""
        if task.pb.HasField("retry_config"):
            return specified(task.pb.retry_config, relaxed=self._relaxed)
        return self._retries

    def add(self, task: StoredTask) -> None:
        """Takes in a new task."""
        self.tasks[task.name] = task
        self._ends.put(task, task.created + RETENTION)
        self.schedule.put(task, task.due)

    def put_back(self, task: StoredTask, due: datetime) -> None:
        """Has the task dispatched again, then."""
        task.due = due
        self.schedule.put(task, due)

    def remove(self, task: StoredTask) -> None:
        """Forgets the task. What becomes of an attempt under way changes nothing any more."""
        task.gone = True
        self.tasks.pop(task.name, None)
        self.schedule.discard(task)
        self._ends.discard(task)

    def expired(self, now: datetime) -> StoredTask | None:
        """Gives a task that has become too old, or `None`. It is still there."""
        return self._ends.pop_due(now)

    def next_task(self, now: datetime) -> StoredTask | None:
        """Takes out the task that is to be dispatched now, and the token for it; `None` if none may be."""
        due = self.schedule.next_at()
        if due is None or due > now or self._is_held() or self.throttle.held_until(now) is not None:
            return None
        return self.schedule.pop_due(now) if self._bucket.take(now) else None

    def next_at(self, now: datetime) -> datetime | None:
        """When something happens here by itself. `None`: nothing does, until somebody does something."""
        end = self._ends.next_at()
        times = [] if end is None else [end]
        due = None if self._is_held() else self.schedule.next_at()
        if due is not None:
            held = self.throttle.held_until(now)
            times.append(max(due, held or due, self._bucket.next_at(now)))
        return min(times, default=None)

    def has_due(self, now: datetime) -> bool:
        """Whether a task is due and waits for nothing but the rate limit or the throttle to let it pass."""
        due = self.schedule.next_at()
        return due is not None and due <= now and not self._is_held()

    def _is_held(self) -> bool:
        return bool(self.pb.state != RUNNING or self.running >= self.pb.rate_limits.max_concurrent_dispatches)
