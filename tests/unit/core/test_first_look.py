"""What is decided of a delivery before anything of it runs, and in which order. The rest is in test_processor.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.details import Details
from cloudq.core.due_times import LONGEST_DELAY, DueTimes
from cloudq.core.first_look import FirstLook
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Expired, Snoozed
from cloudq.core.policy import RetryPolicy
from cloudq.testing.clock import FakeClock

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Task:
    """A declared task, as far as a first look asks."""

    name = "t"
    retry_policy = RetryPolicy()
    dead_letters_expired = False

    def __init__(self, queues: Sequence[str] = ("q",)) -> None:
        self.queues = queues


def look(task: Any, *, strict_queues: bool = False, deliveries: int = 1, **fields: Any) -> Any:
    clock = FakeClock(NOW)
    first = FirstLook[Any](
        {} if task is None else {"t": task},
        retry_policy=RetryPolicy(),
        least_deliveries=0,
        unknown_task_patience=HOUR,
        signatures=None,
        strict_queues=strict_queues,
        due_times=DueTimes(LONGEST_DELAY, clock),
        details=Details(clock),
        clock=clock,
    )
    body = wire.encode(Message(id="1", task="t", queue="q", **fields))
    lease = Lease(queue="q", receipt=1, expires_at=NOW + HOUR, ends=HOUR)
    return first.decide(Delivery.of(body, native_id="1", runs=1, deliveries=deliveries, lease=lease))


def test_what_is_due_and_known_is_to_be_run() -> None:
    """By its task, with its message."""
    task = Task()
    handler, message = look(task, expires_at=NOW + HOUR, not_before=NOW)
    assert (task, "1") == (handler, message.id)


@pytest.mark.parametrize("task", [Task(), None], ids=["known", "unknown"])
def test_what_has_expired_ends_at_once(task: Task | None) -> None:
    """It goes round neither for its time nor for a program that knows it."""
    assert isinstance(look(task, expires_at=NOW, not_before=NOW + HOUR), Expired)


def test_what_has_not_expired_still_waits() -> None:
    """For its time, or for a program that knows it."""
    assert isinstance(look(Task(), expires_at=NOW + 2 * HOUR, not_before=NOW + HOUR), Snoozed)
    assert isinstance(look(None, expires_at=NOW + 2 * HOUR), Snoozed)


def test_what_may_be_no_message_of_the_tasks_is_dead_whether_it_expired_or_not() -> None:
    """From a queue that the task doesn't name, and where it killed its workers: somebody is to see these."""
    strange = look(Task(["other"]), strict_queues=True, expires_at=NOW)
    deadly = look(Task(), deliveries=100, expires_at=NOW)
    assert isinstance(strange, DeadLettered)
    assert isinstance(deadly, DeadLettered)
    assert ("not a task of this queue", "worker died") == (strange.reason[:24], deadly.reason[:11])
