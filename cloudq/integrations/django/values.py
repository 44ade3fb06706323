"""Between what is kept of a task and Django's values: its `TaskResult`, and moments as the project has them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from cloudq.integrations.django.contract import InvalidTask, InvalidTaskBackend, Status, TaskError, TaskResult
from cloudq.integrations.django.results import Kept

_SUCCESSFUL = "SUCCESSFUL"


def task_result(kept: Kept, id_: str, task: Any) -> Any:
    """Django's `TaskResult` of what is known of a message.

    Args:
        kept: What is known.
        id_: The message's id.
        task: The task, as it was enqueued.
    """
    result = TaskResult(
        task=task,
        id=id_,
        status=Status(kept.status),
        enqueued_at=shown(kept.enqueued_at),
        started_at=shown(kept.started_at),
        finished_at=shown(kept.finished_at),
        last_attempted_at=shown(kept.last_attempted_at),
        args=kept.args,
        kwargs=kept.kwargs,
        backend=kept.backend,
        errors=[TaskError(exception_class_path=error.kind, traceback=error.traceback) for error in kept.errors],
        worker_ids=list(kept.workers),
    )
    if kept.status == _SUCCESSFUL:
        object.__setattr__(result, "_return_value", kept.value)  # frozen, and Django's own back ends do the same
    return result


def as_enqueued(task: Any, kept: Kept) -> Any:
    """A task with what its send said of it; as it is declared, where the settings don't allow that any more."""
    run_after = shown(kept.run_after)
    if (task.priority, task.queue_name, task.run_after, task.backend) == (
        kept.priority,
        kept.queue,
        run_after,
        kept.backend,
    ):
        return task
    try:
        return task.using(priority=kept.priority, queue_name=kept.queue, run_after=run_after, backend=kept.backend)
    except (InvalidTask, InvalidTaskBackend):
        return task


def shown(moment: datetime | None) -> datetime | None:
    """A moment as Django's project has them: without an offset where `USE_TZ` is off, in its time zone."""
    if moment is None or settings.USE_TZ:
        return moment
    naive: datetime = timezone.make_naive(moment, timezone.get_default_timezone())
    return naive


def known(moment: datetime | None) -> datetime | None:
    """A moment of the project's, with its offset."""
    if moment is None or moment.utcoffset() is not None:
        return moment
    aware: datetime = timezone.make_aware(moment, timezone.get_default_timezone())
    return aware


def now() -> datetime:
    """Now, in UTC: what is kept doesn't depend on the project's time zone."""
    return datetime.now(UTC)
