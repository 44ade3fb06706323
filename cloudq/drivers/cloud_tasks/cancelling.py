"""Deleting a task whose time hasn't come."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from cloudq.core.clock import Clock, from_micros, to_micros
from cloudq.drivers.cloud_tasks.calls import Calls
from cloudq.drivers.cloud_tasks.limits import CANCEL_NOTICE

_RECEIPT: Final = re.compile(r"(?P<due>[0-9]{1,18})@(?P<name>projects/[^/]+/locations/[^/]+/queues/[^/]+/tasks/[^/]+)")


def receipt_of(name: str, due: datetime) -> str:
    """What cancels a task."""
    return f"{to_micros(due)}@{name}"


def cancel(calls: Calls, parent: str, queue: str, receipt: str, clock: Clock) -> bool:
    """Deletes a task, unless it is due soon; whether it did.

    Args:
        calls: Calls the service.
        parent: The queue's resource name.
        queue: The queue.
        receipt: The task's.
        clock: Where the time comes from.

    Raises:
        ValueError: The receipt is none of `receipt_of`, or of another queue.
        BackendError: The service can't be reached, or refuses.
    """
    parts = _RECEIPT.fullmatch(receipt)
    if parts is None or not parts["name"].startswith(f"{parent}/tasks/"):
        raise ValueError(f"this is no receipt of a task of {parent}")
    if from_micros(int(parts["due"])) - clock.now() <= CANCEL_NOTICE:
        return False
    return calls.delete(parts["name"], queue)
