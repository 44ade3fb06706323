"""Which App a command works with: `--app`, `CLOUDQ_APP`, `[tool.cloudq] app`, `app.py`, `tasks.py`."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from cloudq.app import App
from cloudq.default_app import default
from cloudq.errors import CloudqError, ConfigurationError, place

APP_VARIABLE = "CLOUDQ_APP"
_USUAL = ("app", "tasks")


def find_app(spec: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The spec in force, `module` or `module:attribute`: the given one, else what the surroundings name.

    Raises:
        ConfigurationError: Nothing names an app. Says what was tried.
    """
    if spec:
        return spec
    if named := environment.get(APP_VARIABLE):
        return named
    if configured := _configured():
        return configured
    for module in _USUAL:
        if Path(f"{module}.py").is_file() or Path(module, "__init__.py").is_file():
            return module
    raise ConfigurationError(
        f"no app was found in {Path.cwd()}: tried --app, {APP_VARIABLE}, [tool.cloudq] app in pyproject.toml, "
        "app.py and tasks.py",
        hint="name the module that declares the tasks: --app shop.tasks",
    )


def load_app(spec: str | None) -> App:
    """Imports the app that `spec` (or the surroundings) names, with its `imports`, ready to be worked for.

    The current folder goes first on the import path.

    Args:
        spec: `module` or `module:attribute`; `None` to look around, see `find_app`.

    Raises:
        ConfigurationError: It can't be imported, isn't there, isn't an App, or declares no tasks.
        TaskDefinitionError: A task's declaration is wrong.
    """
    spec = find_app(spec)
    module_name, _, attribute = spec.partition(":")
    module_name = module_name.removeprefix(f".{os.sep}").removesuffix(".py").replace(os.sep, ".")
    here = str(Path.cwd())
    if here not in sys.path[:1]:
        sys.path.insert(0, here)
    module = _imported(module_name, spec)
    app = _named(module, attribute) if attribute else _only_app(module)
    app.load()
    if not app.tasks:
        raise ConfigurationError(
            f"{spec} was imported, but it declares no task",
            hint="decorate functions with @cloudq.task, or name the modules that do in App(imports=[...])",
        )
    return app


def _configured() -> str | None:
    file = Path("pyproject.toml")
    if not file.is_file():
        return None
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{file.absolute()} can't be read: {error}") from error
    tool = settings.get("tool", {}).get("cloudq", {})
    app = tool.get("app") if isinstance(tool, dict) else None
    if app is not None and not isinstance(app, str):
        raise ConfigurationError(f"[tool.cloudq] app in {file.absolute()} is no text", hint='app = "shop.tasks"')
    return app


def _imported(module: str, spec: str) -> ModuleType:
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
                f"there is no module {module!r} to import from {Path.cwd()}",
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
