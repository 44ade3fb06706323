"""Which class a task is of: its own base, or its app's, which may be known only later."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cloudq.compat.celery.task import Task
from cloudq.errors import ConfigurationError


def loaded(base: Any) -> type[Task]:
    """The base that an app is given: a class, or what a text names, `"proj.tasks:Base"`.

    Raises:
        ConfigurationError: It can't be imported, or is no base of tasks.
    """
    found: Any = base
    if isinstance(base, str):
        module, _, name = base.replace(":", ".").rpartition(".")
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigurationError(
                f"task_cls={base!r} can't be imported: {error}", hint="check the name: 'proj.tasks:Base'"
            ) from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise ConfigurationError(f"task_cls={base!r} is no Task", hint="from cloudq.compat.celery import Task")
    return found


def rebase(task: Task, base: type[Task]) -> None:
    """Makes a task that was declared without a base one of its app's. What its declaration says stays.

    Raises:
        TaskDefinitionError: An option of the base can't be honoured.
    """
    if task.of_default_base and type(task) is not base:
        task.__class__ = base
        base.__init__(task)
        task.check()
