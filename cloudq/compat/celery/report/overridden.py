"""What a program overrides of Celery's classes: nobody calls it here, where the class in Celery's place hasn't it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

from cloudq.compat.celery.app_options import APP_METHODS
from cloudq.compat.celery.report.findings import Finding, Kind, found
from cloudq.compat.celery.task_options import TASK_METHODS
from cloudq.compat.celery.verdicts import Table, Verdict, refused

_NOBODY_CALLS_IT: Final = refused("inside of Celery's own: nobody calls it here")
# Classes that a decorator makes of a function: what is in them is the declaration's.
_OF_A_FUNCTION: Final = "_decorated"


def of_the_app(app: Any) -> Iterator[Finding]:
    """The methods of Celery's that the app's own class has."""
    yield from _overridden("app", type(app), ("celery.app.base", "Celery"), APP_METHODS)


def of_a_task(task: Any) -> Iterator[Finding]:
    """The methods of Celery's that a task's own base has."""
    yield from _overridden("task", type(task), ("celery.app.task", "Task"), TASK_METHODS)


def _overridden(kind: Kind, own: type, of: tuple[str, str], table: Table) -> Iterator[Finding]:
    celerys = next(k for k in own.__mro__ if (k.__module__, k.__name__) == of)
    for each in own.__mro__[: own.__mro__.index(celerys)]:
        # Celery derives a class for each app and each task, with the class's name and its own attributes in it.
        if _OF_A_FUNCTION in vars(each):
            continue
        for name, value in vars(each).items():
            entry = table.get(name, _NOBODY_CALLS_IT)
            if (
                not name.startswith("__")
                and hasattr(celerys, name)
                and (inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod)))
                and entry.verdict is Verdict.REFUSED
            ):
                yield found(kind, f"{each.__name__}.{name}", entry, f"{each.__module__}.{each.__qualname__}")
