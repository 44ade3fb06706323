"""Which App a command works with: `--app`, `CLOUDQ_APP`, `[tool.cloudq] app`, `app.py`, `tasks.py`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from cloudq.app import App
from cloudq.default_app import default
from cloudq.errors import CloudqError, ConfigurationError, place
from cloudq.tasks.project import PROJECT_FILE, configured_app, in_packages, module_of, project_file

APP_VARIABLE = "CLOUDQ_APP"
_USUAL = ("app", "tasks")


class Found(NamedTuple):
    """Which app is meant.

    Attributes:
        spec: `module` or `module:attribute`.
        folder: What goes first on the import path.
        how: What named it, for a log.
    """

    spec: str
    folder: Path
    how: str


def find_app(spec: str | None, environment: Mapping[str, str] = os.environ) -> Found:
    """The app in force: the given one, else what the surroundings name.

    Raises:
        ConfigurationError: Nothing names an app. Says what was tried.
    """
    here = Path.cwd()
    if spec:
        return Found(spec, here, "--app")
    if named := environment.get(APP_VARIABLE):
        return Found(named, here, APP_VARIABLE)
    file = project_file(here)
    if file is not None and (configured := configured_app(file)):
        return Found(configured, file.parent, f"[tool.cloudq] app in {file}")
    for name in _USUAL:
        for usual in (here / f"{name}.py", here / name / "__init__.py"):
            if usual.is_file():
                folder, parts = in_packages(usual)  # within a package, `tasks.py` is `shop.tasks` to its senders
                return Found(".".join(parts), folder, str(usual))
    project = file or PROJECT_FILE
    raise ConfigurationError(
        f"no app was found in {here}: tried --app, {APP_VARIABLE}, [tool.cloudq] app in {project}, app.py and tasks.py",
        hint="name the module that declares the tasks: --app shop.tasks",
    )


def load_app(spec: str | Found | None) -> App:
    """Imports the app that `spec` (or the surroundings) names, with its `imports`, ready to be worked for.

    First on the import path goes the folder where it was found, for a text the current one.

    Args:
        spec: `module` or `module:attribute`, or what `find_app` gave; `None` to look around, as it does.

    Raises:
        ConfigurationError: It can't be imported, isn't there, isn't an App, or declares no tasks.
        TaskDefinitionError: A task's declaration is wrong.
    """
    spec, folder, _ = spec if isinstance(spec, Found) else find_app(spec)
    attribute = spec.partition(":")[2]
    if str(folder) not in sys.path[:1]:
        sys.path.insert(0, str(folder))
    module = _imported(module_of(spec), spec, folder)
    app = _named(module, attribute) if attribute else _only_app(module)
    app.load()
    if not app.tasks:
        raise ConfigurationError(
            f"{spec} was imported, but it declares no task",
            hint="decorate functions with @cloudq.task, or name the modules that do in App(imports=[...])",
        )
    return app


def _imported(module: str, spec: str, folder: Path) -> ModuleType:
    if not module:
        raise ConfigurationError(f"{spec!r} names no module", hint="--app shop.tasks:app")
    if not all(part.isidentifier() for part in module.split(".")):
        raise ConfigurationError(f"{spec!r} names no module", hint="--app shop.tasks:app")
    try:
        return import_module(module)
    except CloudqError:
        raise  # a task's declaration, say: it explains itself
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"there is no module {module!r} to import from {folder}",
                hint="check --app, and the folder you are in",
            ) from error
        what = f"{type(error).__name__}: {error}{place(error)}"
        raise ConfigurationError(f"{module} can't be imported: {what}") from error


def _named(module: ModuleType, attribute: str) -> App:
    value = module
    for part in attribute.split("."):
        value = getattr(value, part, None)  # type: ignore[assignment]  # from a module to what it holds
    if not isinstance(value, App):
        what = "the module has nothing of that name" if value is None else f"it is a {type(value).__name__}"
        raise ConfigurationError(f"{module.__name__}:{attribute} is no App: {what}")
    return value


def _only_app(module: ModuleType) -> App:
    apps = {id(value): (name, value) for name, value in vars(module).items() if isinstance(value, App)}
    if len(apps) > 1:
        names = ", ".join(sorted(f"{module.__name__}:{name}" for name, _ in apps.values()))
        raise ConfigurationError(f"{module.__name__} has several Apps: {names}", hint="name one of them with --app")
    for _, app in apps.values():
        return app
    return default
