"""The structured fields that log lines about a delivery carry, and those that are written while one is worked on.

Each is an attribute of the log record, named `cloudq_task` and so on: the prefix keeps clear of the names that a record
has of its own, and of what others give as `extra=`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from cloudq.core.delivery import Delivery
from cloudq.core.printable import NAME_CHARS, shortened
from cloudq.core.run_fields import RUN_FIELDS

PREFIX: Final = "cloudq_"


def fields(delivery: Delivery, **more: object) -> dict[str, object]:
    """For `extra=`: task, id, queue and attempt of a delivery, and what else is given; names are cut."""
    task = shortened(delivery.message.task, NAME_CHARS) if delivery.message else None
    own = {
        "task": task,
        "id": shortened(delivery.id, NAME_CHARS),
        "queue": delivery.queue,
        "attempt": delivery.attempt,
    }
    return extra_of({**own, **more})


def extra_of(values: Mapping[str, object]) -> dict[str, object]:
    """For `extra=`: the values by the names that they have on a log record."""
    return {f"{PREFIX}{name}": value for name, value in values.items()}


def carry_run_fields() -> None:
    """From now on each log record of this process carries the fields of the delivery at hand.

    By the factory of log records, so that it holds for any handler, in whatever way the program logs; one that is set
    already is asked as before. A second call does nothing.
    """
    before = logging.getLogRecordFactory()
    if not isinstance(before, _Factory):
        logging.setLogRecordFactory(_Factory(before))


class _Factory:
    """Makes log records.

    Args:
        before: What has made them until now.
    """

    def __init__(self, before: Callable[..., logging.LogRecord]) -> None:
        self._before = before

    def __call__(self, *args: object, **kwargs: object) -> logging.LogRecord:
        record = self._before(*args, **kwargs)
        run = RUN_FIELDS.get(None)
        if run is not None:
            if run.carried is None:
                run.carried = extra_of(run)
            record.__dict__.update(run.carried)
        return record
