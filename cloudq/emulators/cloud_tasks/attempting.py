"""What an attempt does to its task and its queue, at its beginning and at its end. Pure: the time is an argument."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec
from google.rpc import code_pb2

from cloudq.emulators.cloud_tasks import backoff
from cloudq.emulators.cloud_tasks.messages import set_moment
from cloudq.emulators.cloud_tasks.queues import TaskQueue
from cloudq.emulators.cloud_tasks.stored import StoredTask
from cloudq.emulators.cloud_tasks.throttle import STATUSES

# The status of an attempt as `Task.last_attempt` shows it (google/rpc/code.proto has the pairs).
_CODES: Final = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    409: code_pb2.ABORTED,
    416: code_pb2.OUT_OF_RANGE,
    429: code_pb2.RESOURCE_EXHAUSTED,
    499: code_pb2.CANCELLED,
    500: code_pb2.INTERNAL,
    501: code_pb2.UNIMPLEMENTED,
    503: code_pb2.UNAVAILABLE,
    504: code_pb2.DEADLINE_EXCEEDED,
}
# What the next attempt learns of one that had no answer. The first is recorded; the second is taken to be alike.
_PREVIOUS_OF_DEADLINE: Final = 504
_PREVIOUS_OF_UNREACHABLE: Final = 503


class End(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    """The worker answered 2xx."""
    FAILED = "failed"
    """The worker answered something else."""
    DEADLINE = "deadline"
    """The dispatch deadline passed."""
    UNREACHABLE = "unreachable"
    """There was no answer: refused, cut off, or no HTTP."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt as it begins, with what its request says of its task.

    Attributes:
        number: Which dispatch of the task it is, from 1.
        executions: How many answers before it were no 5xx.
        previous: The status of the attempt before it, if there was one.
        scheduled: When it was due.
        dispatched: When it began.
        forced: Whether it is `RunTask`'s.
    """

    number: int
    executions: int
    previous: int | None
    scheduled: datetime
    dispatched: datetime
    forced: bool


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What came back.

    Attributes:
        end: How it ended.
        status: The worker's HTTP status, if it answered.
        retry_after: What the worker asked for.
        reason: Why there was no answer.
    """

    end: End
    status: int | None = None
    retry_after: timedelta | None = None
    reason: str = ""


def begin(queue: TaskQueue, task: StoredTask, now: datetime, *, forced: bool = False) -> Begun:
    """Counts the attempt and notes it on the task."""
    queue.running += 1
    task.running += 1
    task.attempts += 1
    begun = Begun(
        number=task.attempts,
        executions=task.executions,
        previous=task.previous,
        scheduled=task.due,
        dispatched=now,
        forced=forced,
    )
    pb = task.pb
    pb.dispatch_count = task.attempts
    pb.last_attempt.Clear()
    set_moment(pb.last_attempt.schedule_time, task.due)
    set_moment(pb.last_attempt.dispatch_time, now)
    if task.first is None:
        task.first = now
        set_moment(pb.first_attempt.dispatch_time, now)
    return begun


def finish(queue: TaskQueue, task: StoredTask, begun: Begun, ended: Ended, now: datetime) -> bool:
    """Notes the end of the attempt. Returns whether the task is over and has to be removed."""
    queue.running -= 1
    task.running -= 1
    if ended.status in STATUSES:
        queue.throttle.refused(now, begun.dispatched, ended.retry_after)
    elif ended.end is End.SUCCEEDED:
        queue.throttle.accepted(begun.dispatched)
    if task.gone:
        return False
    _note(task, ended, now)
    if ended.end is End.SUCCEEDED:
        return True
    if task.running:
        return False  # RunTask had it dispatched twice: the last of the two to end decides
    retries = queue.retries_of(task)
    if backoff.is_over(retries, task.attempts, now - (task.first or now)):
        return True
    # "reset to the time that RunTask was called plus the retry delay"
    due = (begun.dispatched if begun.forced else now) + backoff.delay(retries, task.attempts)
    set_moment(task.pb.schedule_time, due)
    queue.put_back(task, due)
    return False


def _note(task: StoredTask, ended: Ended, now: datetime) -> None:
    last = task.pb.last_attempt
    if ended.status is None:
        deadline = ended.end is End.DEADLINE
        task.previous = _PREVIOUS_OF_DEADLINE if deadline else _PREVIOUS_OF_UNREACHABLE
        code = code_pb2.DEADLINE_EXCEEDED if deadline else code_pb2.UNAVAILABLE
        text = "HTTP status code 0" if deadline else ended.reason or "HTTP status code 0"
    else:
        task.previous = ended.status
        if not 500 <= ended.status < 600:
            task.executions += 1
        task.pb.response_count += 1
        set_moment(last.response_time, now)
        code = code_pb2.OK if ended.end is End.SUCCEEDED else _CODES.get(ended.status, code_pb2.UNKNOWN)
        text = f"HTTP status code {ended.status}"
    last.response_status.code = code
    last.response_status.message = f"{code_pb2.Code.Name(code)}({code}): {text}"
