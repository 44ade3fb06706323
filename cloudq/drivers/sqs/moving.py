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
from cloudq.drivers.sqs.client import SqsClient
from cloudq.drivers.sqs.faults import translate
from cloudq.drivers.sqs.urls import QueueUrls
from cloudq.errors import BackendError, ConfigurationError

# The most that a list holds.
_LISTED: Final = 10
# The service has no codes of their own for these: both are an InvalidParameterValue, in these words (LocalStack 4.13.1
# has them from the service).
_NO_DEAD_LETTER_QUEUE: Final = "configured as a dead letter queue"
_ACTIVE: Final = "already a task running"
_GONE: Final = ("ResourceNotFoundException", "UnsupportedOperation")


def start(client: SqsClient, urls: QueueUrls, queue: str) -> str:
    """Starts a task. Its name is when the one before began and the task's handle.

    When it has ended, no list tells its handle: it is the first that began after the one before.
    """
    dead = dead_letter_queue(queue)
    source, destination = _arn(client, urls, dead), _arn(client, urls, queue)
    before = max((_started(task) for task in _tasks(client, source, dead)), default=0)
    try:
        handle = client.start_message_move_task(SourceArn=source, DestinationArn=destination)["TaskHandle"]
    except Exception as error:
        raise _refused(error, queue) from error
    return f"{before}:{handle}"


def progress(client: SqsClient, urls: QueueUrls, queue: str, move: str) -> MoveProgress:
    """What the list of the queue's latest tasks says of this one."""
    before, _, handle = move.partition(":")
    dead = dead_letter_queue(queue)
    task: Mapping[str, Any] | None = None
    for one in _tasks(client, _arn(client, urls, dead), dead):  # from the newest on
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


def cancel(client: SqsClient, queue: str, move: str) -> None:
    """Cancels the task; only a running one can be."""
    try:
        client.cancel_message_move_task(TaskHandle=move.partition(":")[2])
    except Exception as error:
        if _code(error) in _GONE:
            return
        raise translate(error, queue) from error


def _tasks(client: SqsClient, arn: str, queue: str) -> Sequence[Mapping[str, Any]]:
    try:
        answer = client.list_message_move_tasks(SourceArn=arn, MaxResults=_LISTED)
    except Exception as error:
        raise translate(error, queue) from error
    tasks: Sequence[Mapping[str, Any]] = answer.get("Results", ())
    return tasks


def _started(task: Mapping[str, Any]) -> int:
    return int(task.get("StartedTimestamp") or 0)


def _arn(client: SqsClient, urls: QueueUrls, queue: str) -> str:
    url = urls.of(queue)
    try:
        arn: str = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    except Exception as error:
        raise translate(error, queue) from error
    return arn


def _refused(error: Exception, queue: str) -> Exception:
    """Why no task was started, as far as the service's words tell it."""
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
    return translate(error, queue)


def _code(error: Exception) -> str:
    response = getattr(error, "response", None)
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
    return code.rpartition(".")[2].rpartition("#")[2]
