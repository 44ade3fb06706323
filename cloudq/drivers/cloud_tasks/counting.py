"""How full a queue is. The API says no numbers, so tasks are counted: for people who look, not for a loop."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Final

from google.cloud.tasks_v2 import Task

from cloudq.core.clock import Clock
from cloudq.core.driver import QueueStats
from cloudq.core.message import dead_letter_queue
from cloudq.drivers.cloud_tasks.calls import Calls
from cloudq.drivers.cloud_tasks.names import Names
from cloudq.errors import QueueNotFound

# Of larger queues nothing is said: ten calls a queue are enough.
MOST: Final = 10_000


def count(calls: Calls, names: Names, queue: str, clock: Clock) -> QueueStats:
    """The stats of a queue with no more than `MOST` tasks; of a larger one, `None`s."""
    tasks = list(islice(calls.list_tasks(names.queue(queue), queue), MOST + 1))
    dead = _dead(calls, names, queue)
    if len(tasks) > MOST:
        return QueueStats(dead=dead)
    now = clock.now()
    in_flight = [task for task in tasks if _is_in_flight(task)]
    waiting = [_due(task) for task in tasks if not _is_in_flight(task)]
    ready = [due for due in waiting if due <= now]
    return QueueStats(
        ready=len(ready),
        delayed=len(waiting) - len(ready),
        in_flight=len(in_flight),
        dead=dead,
        oldest_age=now - min(ready) if ready else None,
    )


def _dead(calls: Calls, names: Names, queue: str) -> int | None:
    dead = dead_letter_queue(queue)
    try:
        found = sum(1 for _ in islice(calls.list_tasks(names.queue(dead), dead), MOST + 1))
    except QueueNotFound:
        return None  # nothing can be dead-lettered, which the first dead letter says loudly
    return found if found <= MOST else None


def _is_in_flight(task: Task) -> bool:
    # A failed attempt moves the task's time on, behind that of its dispatch.
    if not task.dispatch_count or not task.last_attempt.dispatch_time:
        return False
    dispatched, due = task.last_attempt.dispatch_time, task.schedule_time
    return bool(dispatched >= due)


def _due(task: Task) -> datetime:
    due: datetime = task.schedule_time
    return datetime.fromtimestamp(due.timestamp(), UTC)
