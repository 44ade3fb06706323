"""From the name in a message to a task of Django's, which has no register of its own: by import, and only where it may.

A name comes from a queue, so from a stranger. Of it nothing is imported but a module of an installed app, or of the
back end's own list, and nothing is taken there but a task that has that name.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final

from django.apps import apps
from django.core.exceptions import AppRegistryNotReady

from cloudq.core.printable import shortened
from cloudq.core.safe_log import SafeLogger, is_from_outside
from cloudq.integrations.django.contract import Task

logger = SafeLogger("cloudq.django")

_LONGEST: Final = 300
_SHOWN: Final = 100


def task_of(name: str, modules: Iterable[str] = ()) -> Any:
    """The task of a name, or `None`: it is no name of one, may not be imported, can't be, or is something else.

    Args:
        name: The path of its module and its own name, as Django's `Task.module_path`.
        modules: Those beside the installed apps' that may have tasks, with what is below them.
    """
    module, _, attribute = name.rpartition(".")
    if not may_be_imported(module, modules) or not attribute.isidentifier():
        return None
    try:
        names = vars(import_module(module))
    except ImportError as error:
        # A worker of another version, most likely: its messages wait for one that has it, as for any unknown task.
        logger.info("no task %s here: %s", shortened(name, _SHOWN), type(error).__name__)
        return None
    except BaseException as error:  # a module's code may raise anything, and its messages are no poison for that
        if is_from_outside(error):
            raise
        logger.warning("%s can't be imported, so that its tasks are unknown", module, exc_info=True)
        return None
    # Not by `getattr`: a module's own `__getattr__` is code, which a name must not call.
    found = names.get(attribute)
    return found if isinstance(found, Task) and found.module_path == name else None


def may_be_imported(module: str, modules: Iterable[str] = ()) -> bool:
    """Whether a module may be imported for its name alone: one of an installed app, or of a list, or below these.

    No `__main__` is, which would run a program; and nothing before Django is set up.
    """
    parts = module.split(".")
    if len(module) > _LONGEST or not all(part.isidentifier() and not part.startswith("__") for part in parts):
        return False
    try:
        allowed = {*modules, *(config.name for config in apps.get_app_configs())}
    except AppRegistryNotReady:
        return False
    return any(".".join(parts[:count]) in allowed for count in range(1, len(parts) + 1))


def tasks_in(module: Any) -> list[Any]:
    """The tasks that a module has, by their own names: not those that it imported from another one."""
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, Task) and value.module_path == f"{module.__name__}.{name}"
    ]
