"""What programs written for Celery import in its place: `from cloudq.compat.celery import Celery, shared_task`.

What can't be honoured is refused by its name, where it is declared or called; nothing is dropped in silence. See
`docs/how-to/coming-from-celery.md`.
"""

from __future__ import annotations

from cloudq.compat.celery import exceptions as exceptions
from cloudq.compat.celery import states as states
from cloudq.compat.celery.app import Celery as Celery
from cloudq.compat.celery.canvas import Signature as Signature
from cloudq.compat.celery.canvas import chain as chain
from cloudq.compat.celery.canvas import chord as chord
from cloudq.compat.celery.canvas import chunks as chunks
from cloudq.compat.celery.canvas import group as group
from cloudq.compat.celery.canvas import xmap as xmap
from cloudq.compat.celery.canvas import xstarmap as xstarmap
from cloudq.compat.celery.current import current as _current
from cloudq.compat.celery.request import current_task as _current_task
from cloudq.compat.celery.result import AsyncResult as AsyncResult
from cloudq.compat.celery.result import EagerResult as EagerResult
from cloudq.compat.celery.shared import shared_task as shared_task
from cloudq.compat.celery.task import Task as Task
from cloudq.compat.celery.utils.log import get_task_logger as get_task_logger


def signature(varies: str | Task, *args: object, **kwargs: object) -> Signature:
    """A call of a task of the current app, to be sent later."""
    made: Signature = _current().signature(varies, *args, **kwargs)
    return made


def __getattr__(name: str) -> object:
    """`current_app` and `current_task` are what they are when they are asked for."""
    if name == "current_app":
        return _Current()
    if name == "current_task":
        return _RunningTask()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Current:
    """Stands for the app that is current at each use."""

    def __getattr__(self, name: str) -> object:
        return getattr(_current(), name)


class _RunningTask:
    """Stands for the task that runs at each use."""

    def __getattr__(self, name: str) -> object:
        return getattr(_current_task(), name)

    def __bool__(self) -> bool:
        return _current_task() is not None
