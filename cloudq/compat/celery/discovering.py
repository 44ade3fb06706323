"""Where an app's tasks are: modules that are named, those of packages, and Django's apps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from threading import RLock
from typing import Final

from cloudq.app import App
from cloudq.compat.celery.settings import Settings
from cloudq.errors import ConfigurationError
from cloudq.tasks.importing import not_imported

_setting_up: Final = RLock()


def import_all(conf: Settings, discover: Sequence[tuple[Callable[[], Iterable[str]], str | None]]) -> None:
    """Imports what the settings name, and what was to be discovered.

    Args:
        conf: The settings.
        discover: Packages, and the module that is looked for in each; `None` for the package itself.

    Raises:
        ConfigurationError: A module can't be imported.
    """
    _set_up_django()
    conf.read()
    modules = [*(conf["imports"] or ()), *(conf["include"] or ())]
    for packages, related in discover:
        modules += [module for package in packages() if (module := _related(package, related)) is not None]
    for module in dict.fromkeys(modules):
        try:
            import_module(module)
        except ImportError as error:
            raise ConfigurationError(
                f"{module} can't be imported: {error}", hint="check include and imports"
            ) from error


def installed_apps() -> Iterable[str]:
    """The names of Django's apps.

    Raises:
        ConfigurationError: There is no Django.
    """
    try:
        from django.apps import apps
    except ImportError as error:
        raise ConfigurationError(
            "autodiscover_tasks without packages asks for Django's apps, and there is no Django",
            hint="name the packages: app.autodiscover_tasks(['proj.mail'])",
        ) from error
    return [config.name for config in apps.get_app_configs()]


def in_django(app: App) -> None:
    """Has workers run tasks in Django's surroundings, where there is Django: on connections that aren't too old."""
    if _names_django():
        from cloudq.integrations.django.surroundings import prepare

        prepare(app)


def _names_django() -> bool:
    return bool(os.environ.get("DJANGO_SETTINGS_MODULE")) and find_spec("django") is not None


def _set_up_django() -> None:
    """As Celery does: a worker imports tasks of Django's apps, which need their registry."""
    if not _names_django():
        return
    from django.apps import apps

    with _setting_up:  # other threads wait; what the setup itself imports goes on
        if not apps.ready and not apps.loading:
            import django

            django.setup()


def _related(package: str, related: str | None) -> str | None:
    """The module of a package that is to be imported, if it is there.

    Raises:
        ConfigurationError: The package can't be imported.
    """
    module = package if not related else f"{package}.{related}"
    try:
        return module if find_spec(module) is not None else None
    except ImportError as error:
        # What isn't there may be this module, or a package that it would be in. Else it is something that they import.
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            return None
        raise not_imported(f"{package} can't be imported", error) from error
