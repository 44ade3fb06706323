"""What the service answers instead of a result: status codes and its own messages.

Where the service's wording is known it is used: from recorded answers of the service, published by the authors of
aertje/cloud-tasks-emulator (`conformance/golden/errors.json`, 2026), and from public reports of its users.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DOCS: Final = "https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues"


class Problem(Exception):
    """An error that a client sees.

    Attributes:
        code: The name of the gRPC status code.
        message: What is wrong.
        help: A description and an address of documentation, which the service adds to some.
    """

    def __init__(self, code: str, message: str, help_: tuple[str, str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.help = help_


def invalid(message: str) -> Problem:
    """The request can't be carried out as it is, whatever the state of the service."""
    return Problem("INVALID_ARGUMENT", message)


def bad_queue_name() -> Problem:
    """A queue's name isn't one."""
    return Problem(
        "INVALID_ARGUMENT",
        'Queue name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".',
        ("Definition of queue name", f"{_DOCS}#Queue.FIELDS.name"),
    )


def bad_task_name() -> Problem:
    """A task's name isn't one."""
    return invalid(
        'Task name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>/tasks/<TASK_ID>"'
    )


def bad_task_id(task_id: str) -> Problem:
    """The last part of a task's name has other characters than it may have, or too many."""
    return Problem(
        "INVALID_ARGUMENT",
        f'Task ID "{task_id}" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or underscores (_). '
        "Task ID must between 1 and 500 characters.",
        ("Definition of task ID", f"{_DOCS}.tasks#Task.FIELDS.name"),
    )


def no_queue() -> Problem:
    """There is no such queue."""
    return Problem(
        "NOT_FOUND",
        "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize.",
    )


def not_found() -> Problem:
    """There is no such task, or no queue to delete."""
    return Problem("NOT_FOUND", "Requested entity was not found.")


def task_gone() -> Problem:
    """There was such a task."""
    return Problem(
        "NOT_FOUND",
        "The task no longer exists, though a task with this name existed recently. "
        "The task either successfully completed or was deleted.",
    )


def queue_exists() -> Problem:
    """There is such a queue already."""
    return Problem("ALREADY_EXISTS", "Queue already exists")


def queue_gone_too_recently() -> Problem:
    """There was such a queue, and its name isn't free yet."""
    return Problem(
        "FAILED_PRECONDITION",
        "The queue cannot be created because a queue with this name existed too recently.",
    )


def task_exists() -> Problem:
    """A task's name is taken."""
    return Problem("ALREADY_EXISTS", "Requested entity already exists")


def too_far(when: datetime) -> Problem:
    """A task is to run later than the service keeps tasks. It names the time as it is at Google's headquarters."""
    try:
        shown = when.astimezone(ZoneInfo("America/Los_Angeles")).isoformat(timespec="auto")
    except (ZoneInfoNotFoundError, OverflowError):
        shown = when.isoformat()
    return invalid(
        f"The Task.scheduleTime, {shown}, is too far in the future. "
        "Schedule time must be no more than 720h in the future."
    )
