"""Deleting a task whose time hasn't come."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from cloudq.core.clock import Clock, from_micros, to_micros
from cloudq.drivers.cloud_tasks.calls import Calls
from cloudq.drivers.cloud_tasks.limits import CANCEL_NOTICE

_HANDLE: Final = re.compile(r"(?P<due>[0-9]{1,18})@(?P<name>projects/[^/]+/locations/[^/]+/queues/[^/]+/tasks/[^/]+)")


def handle_of(name: str, due: datetime) -> str:
    """What cancels a task."""
    return f"{to_micros(due)}@{name}"


def cancel(calls: Calls, parent: str, queue: str, handle: str, clock: Clock) -> bool:
    """Deletes a task, unless it is due soon; whether it did.

    Args:
        calls: Calls the service.
        parent: The queue's resource name.
        queue: The queue.
        handle: The task's.
        clock: Where the time comes from.

    Raises:
        ValueError: The handle is none of `handle_of`, or of another queue.
        BackendError: The service can't be reached, or refuses.
    """
    parts = _HANDLE.fullmatch(handle)
    if parts is None or not parts["name"].startswith(f"{parent}/tasks/"):
        raise ValueError(f"this is no handle of a task of {parent}")
    if from_micros(int(parts["due"])) - clock.now() <= CANCEL_NOTICE:
        return False
    return calls.delete(parts["name"], queue)
