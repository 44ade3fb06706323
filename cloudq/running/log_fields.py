"""The structured fields that log lines about a delivery carry."""

from __future__ import annotations

from typing import Final

from cloudq.core.delivery import Delivery
from cloudq.core.printable import NAME_CHARS, shortened

NAMES: Final = ("task", "id", "queue", "attempt", "outcome", "seconds")


def fields(delivery: Delivery, **more: object) -> dict[str, object]:
    """For `extra=`: task, id, queue and attempt of a delivery, and what else is given; names are cut."""
    task = shortened(delivery.message.task, NAME_CHARS) if delivery.message else None
    # The prefix keeps clear of the names that a LogRecord has of its own.
    own = {
        "task": task,
        "id": shortened(delivery.id, NAME_CHARS),
        "queue": delivery.queue,
        "attempt": delivery.attempt,
    }
    return {f"cloudq_{name}": value for name, value in {**own, **more}.items()}
