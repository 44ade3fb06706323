"""The app of a back end of Django's tasks, for `cloudq worker --app cloudq.integrations.django.worker_app`.

`app` is that of `TASKS["default"]`, or cloudq's default one where another back end is there;
`cloudq.integrations.django.worker_app:mail` is that of `TASKS["mail"]`. Importing this sets Django up.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from cloudq.errors import ConfigurationError
from cloudq.integrations.django.settings import set_up

if TYPE_CHECKING:
    from cloudq.app import App

_TASKS: Final = "tasks"
_ALIAS: Final = "default"
_INSTALLED: Final = "cloudq.integrations.django"


def app_of(alias: str) -> App:
    """The app of a back end, which knows every task of Django's that an installed app has in its module `tasks`.

    And those in modules that these import. What is declared elsewhere is found once a message names it.

    Raises:
        ConfigurationError: There is no back end of that alias, or it isn't cloudq's.
        TaskDefinitionError: What `OPTIONS` says of a task means nothing.
    """
    from cloudq.integrations.django.backend import CloudqBackend
    from cloudq.integrations.django.contract import InvalidTaskBackend, task_backends
    from cloudq.integrations.django.place import place_of
    from cloudq.integrations.django.resolver import may_be_imported, tasks_in

    try:
        backend = task_backends[alias]
    except InvalidTaskBackend as error:
        raise ConfigurationError(f"TASKS has no back end {alias!r} that can be used: {error}") from error
    if not isinstance(backend, CloudqBackend):
        raise ConfigurationError(
            f"TASKS[{alias!r}] is {type(backend).__name__}, whose tasks cloudq doesn't run",
            hint='"BACKEND": "cloudq.integrations.django.CloudqBackend"',
        )
    for config in apps.get_app_configs():
        if module_has_submodule(config.module, _TASKS):
            import_module(f"{config.name}.{_TASKS}")
    place = place_of(alias, backend._place.params, type(backend))
    for name, module in sorted(sys.modules.items()):
        if may_be_imported(name, place.options.modules):
            for task in tasks_in(module):
                if task.backend == alias:
                    place.declare(task)
    return backend.app


def _default() -> App:
    from cloudq.default_app import default
    from cloudq.integrations.django.backend import CloudqBackend
    from cloudq.integrations.django.contract import InvalidTaskBackend, task_backends

    try:
        is_ours = isinstance(task_backends[_ALIAS], CloudqBackend)
    except InvalidTaskBackend:
        is_ours = False  # it may be that nothing is in TASKS: the program has cloudq's own tasks alone
    if is_ours:
        return app_of(_ALIAS)
    if not apps.is_installed(_INSTALLED):
        raise ConfigurationError(
            f"the Django project doesn't say what its tasks are: {_INSTALLED} isn't in its INSTALLED_APPS, nor is its "
            "CloudqBackend in TASKS",
            hint=f'add "{_INSTALLED}" there, or name the module that declares the tasks: --app shop.tasks',
        )
    return default


set_up()
app = _default()


def __getattr__(name: str) -> App:
    """The app of a back end by its alias."""
    if name.startswith("__"):
        raise AttributeError(name)
    return app_of(name)
