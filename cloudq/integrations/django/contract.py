"""The contract of Django's tasks, from Django itself (6.0 and later) or from its backport `django-tasks` (Django 5.2).

The only place that knows which of the two it is. Where both are there, it is Django's own.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from cloudq.errors import ConfigurationError

_DJANGO: Final = "django.tasks"
_BACKPORT: Final = "django_tasks"


def _root() -> str:
    try:
        if find_spec(_DJANGO) is not None:
            return _DJANGO
    except ModuleNotFoundError as error:
        raise ConfigurationError("Django isn't installed", hint="pip install 'cloudq[django]'") from error
    if find_spec(_BACKPORT) is None:
        raise ConfigurationError(
            "this Django has no tasks of its own, and django-tasks isn't installed", hint="pip install django-tasks"
        )
    return _BACKPORT


ROOT: Final = _root()
"""The package: `django.tasks` or `django_tasks`."""


def _part(module: str, *names: str) -> Any:
    """The first of these names that a module has: some are called otherwise in the backport."""
    found = import_module(f"{ROOT}.{module}" if module else ROOT)
    return next(getattr(found, name) for name in names if hasattr(found, name))


# Neither has types that hold for the other.
BaseTaskBackend: Final[Any] = _part("backends.base", "BaseTaskBackend")
Task: Final[Any] = _part("base", "Task")
TaskContext: Final[Any] = _part("base", "TaskContext")
TaskError: Final[Any] = _part("base", "TaskError")
TaskResult: Final[Any] = _part("base", "TaskResult")
Status: Final[Any] = _part("base", "TaskResultStatus")
InvalidTask: Final[Any] = _part("exceptions", "InvalidTask", "InvalidTaskError")
InvalidTaskBackend: Final[Any] = _part("exceptions", "InvalidTaskBackend", "InvalidTaskBackendError")
TaskResultDoesNotExist: Final[Any] = _part("exceptions", "TaskResultDoesNotExist")
task_enqueued: Final[Any] = _part("signals", "task_enqueued")
task_started: Final[Any] = _part("signals", "task_started")
task_finished: Final[Any] = _part("signals", "task_finished")
task_backends: Final[Any] = _part("", "task_backends")
normalize_json: Final[Any] = _part("base", "normalize_json")
"""Django's own way from Python's values to JSON's; both import it where it is used."""
_LOGS: Final = {id(_part("signals", f"log_{name}")) for name in ("task_started", "task_finished")}


def has_own_receivers(signal: Any) -> bool:
    """Whether a signal has a receiver of the project's: any but Django's own, which logs."""
    return any(key[0] not in _LOGS for key, *_ in signal.receivers)
