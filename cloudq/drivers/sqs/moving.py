"""SQS's own redrive: message move tasks from a dead-letter queue to its queue.

Of the API reference's StartMessageMoveTask, ListMessageMoveTasks and CancelMessageMoveTask (November 2026): a queue is
moved from only if another queue's redrive policy names it; one task a queue is active at a time; a list holds the ten
latest tasks of a queue, newest first, and names only running ones by their handles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cloudq.core.message import dead_letter_queue
from cloudq.core.moving import MoveProgress, MoveState
from cloudq.drivers.sqs.answers import value_of
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.faults import code_of
from cloudq.drivers.sqs.urls import QueueUrls
from cloudq.errors import BackendError, BackendUnavailable, ConfigurationError

# The most that a list holds.
_LISTED: Final = 10
# The service has no codes of their own for these: both are an InvalidParameterValue, in these words (LocalStack 4.13.1
# has them from the service).
_NO_DEAD_LETTER_QUEUE: Final = "configured as a dead letter queue"
_ACTIVE: Final = "already a task running"
_GONE: Final = ("ResourceNotFoundException", "UnsupportedOperation")


def start(calls: Calls, urls: QueueUrls, queue: str) -> str:
    """Starts a task. Its name is when the one before began and the task's handle.

    When it has ended, no list tells its handle: it is the first that began after the one before.
    """
    dead = dead_letter_queue(queue)
    source, destination = urls.arn_of(dead), urls.arn_of(queue)
    before = max((_started(task) for task in _list(calls, source, dead)), default=0)
    try:
        answer = calls.make("start_message_move_task", queue, SourceArn=source, DestinationArn=destination)
    except BackendError as error:
        refusal = _refusal(error, queue)
        if refusal is None:
            raise
        raise refusal from error
    return f"{before}:{value_of(answer, 'TaskHandle', queue)}"


def progress(calls: Calls, urls: QueueUrls, queue: str, move: str) -> MoveProgress:
    """What the list of the queue's latest tasks says of this one."""
    before, _, handle = move.partition(":")
    dead = dead_letter_queue(queue)
    task: Mapping[str, Any] | None = None
    for one in _list(calls, urls.arn_of(dead), dead):  # from the newest on
        if one.get("TaskHandle") == handle:
            task = one
            break
        if _started(one) > int(before) and not one.get("TaskHandle"):
            task = one
    if task is None:
        return MoveProgress(state=MoveState.RUNNING)
    return MoveProgress(
        state=MoveState(str(task["Status"]).lower()),
        moved=task.get("ApproximateNumberOfMessagesMoved"),
        total=task.get("ApproximateNumberOfMessagesToMove"),
        reason=task.get("FailureReason"),
    )


def cancel(calls: Calls, queue: str, move: str) -> None:
    """Cancels the task; only a running one can be."""
    try:
        calls.make("cancel_message_move_task", queue, TaskHandle=move.partition(":")[2])
    except BackendError as error:
        if error.__cause__ is None or code_of(error.__cause__) not in _GONE:
            raise


def _list(calls: Calls, arn: str, queue: str) -> Sequence[Mapping[str, Any]]:
    answer = calls.make("list_message_move_tasks", queue, SourceArn=arn, MaxResults=_LISTED)
    tasks: Sequence[Mapping[str, Any]] = answer.get("Results") or ()
    return tasks


def _started(task: Mapping[str, Any]) -> int:
    said = task.get("StartedTimestamp")
    try:
        return int(said or 0)
    except (TypeError, ValueError) as error:
        raise BackendUnavailable(f"Amazon SQS lists a task that began at {said!r}") from error


def _refusal(error: BackendError, queue: str) -> Exception | None:
    """Why no task was started, where the service's words tell more than its code."""
    said = str(error).lower()
    if _NO_DEAD_LETTER_QUEUE in said:
        return ConfigurationError(
            f"Amazon SQS moves nothing from {dead_letter_queue(queue)!r}: no queue's redrive policy names it",
            hint=f"give {queue!r} a redrive policy to it, or: cloudq dlq redrive {queue} --all",
        )
    if _ACTIVE in said:
        return BackendError(
            f"Amazon SQS already moves the dead letters of queue {queue!r}: one task a queue is active at a time",
            hint="wait for its end, or: aws sqs list-message-move-tasks, then cancel-message-move-task",
        )
    return None
