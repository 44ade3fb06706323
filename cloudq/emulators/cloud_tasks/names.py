"""The names of locations, queues and tasks."""

from __future__ import annotations

import re
import secrets
from typing import Final

from cloudq.emulators.cloud_tasks.problems import Problem, bad_queue_name, bad_task_id, bad_task_name, invalid

# As the docstring of `Task.name` has them (google-cloud-tasks 2.26).
_LOCATION: Final = r"projects/[A-Za-z0-9:.\-]{1,100}/locations/[A-Za-z0-9\-]{1,100}"
_QUEUE: Final = _LOCATION + r"/queues/[A-Za-z0-9\-]{1,100}"
_IS_LOCATION: Final = re.compile(_LOCATION)
_IS_QUEUE: Final = re.compile(_QUEUE)
_IS_ID: Final = re.compile(r"[A-Za-z0-9_\-]{1,500}")


def check_location(name: str) -> None:
    """Raises what the service answers where this is no location's name."""
    if not _IS_LOCATION.fullmatch(name):
        raise invalid("Invalid resource field value in the request.")


def check_queue(name: str) -> None:
    """Raises what the service answers where this is no queue's name."""
    if not _IS_QUEUE.fullmatch(name):
        raise bad_queue_name()


def check_task(name: str) -> None:
    """Raises what the service answers where this is no task's name."""
    queue, found, task_id = name.rpartition("/tasks/")
    if not found or not _IS_QUEUE.fullmatch(queue):
        raise bad_task_name()
    if not _IS_ID.fullmatch(task_id):
        raise bad_task_id(task_id)


def check_new_task(name: str, parent: str) -> None:
    """The same for a task that is to be created in the queue `parent`."""
    check_task(name)
    if queue_of(name) != parent:
        raise _mismatch(parent, queue_of(name))


def queue_of(task: str) -> str:
    """The queue's name in a task's."""
    return task.rpartition("/tasks/")[0]


def location_of(queue: str) -> str:
    """The location's name in a queue's."""
    return queue.rpartition("/queues/")[0]


def new_task(queue: str) -> str:
    """A name for a task that came without one: random digits, as the service gives them."""
    return f"{queue}/tasks/{secrets.randbits(63)}"


def _mismatch(parent: str, named: str) -> Problem:
    return invalid(
        f"The queue name from request ('{parent}') must be the same as the queue name in the named task ('{named}')."
    )
