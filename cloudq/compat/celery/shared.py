"""`shared_task`: a task that is declared without an app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloudq.compat.celery.current import share
from cloudq.compat.celery.declaring import made
from cloudq.compat.celery.task import Task


def shared_task(*args: Any, **options: Any) -> Any:
    """Declares a task of whichever app is current when it is first used: `@shared_task`, `@shared_task(bind=True)`.

    It is used by a call of its own, by whatever has that app declare its tasks, and by a worker of that app. It stays
    that app's.

    Raises:
        TaskDefinitionError: An option can't be honoured, or the function can't be a task.
    """

    def declare(function: Callable[..., Any]) -> Task:
        task = made(function, Task, None, options)
        share(task)
        return task

    return declare(args[0]) if len(args) == 1 and callable(args[0]) else declare
