"""Which App a command works with: `--app`, `CLOUDQ_APP`, `[tool.cloudq] app`, `app.py`, `tasks.py`, or Django's."""

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
from cloudq.errors import CloudqError, ConfigurationError, kind_of
from cloudq.tasks.importing import not_imported
from cloudq.tasks.project import PROJECT_FILE, configured_app, in_packages, module_of, project_file

APP_VARIABLE = "CLOUDQ_APP"
_USUAL = ("app", "tasks")
_DJANGO_VARIABLE = "DJANGO_SETTINGS_MODULE"
_DJANGO_APP = "cloudq.integrations.django.worker_app"


class NoAppNamed(ConfigurationError):
    """Nothing names an app, so there may be none: what else is wrong with the surroundings is another error."""


class Found(NamedTuple):
    """Which app is meant.

    Attributes:
        spec: `module` or `module:attribute`.
        folder: What goes on the import path.
        how: What named it, for a log.
        file: The module or project file that was found by looking around, where nobody named the app.
    """

    spec: str
    folder: Path
    how: str
    file: Path | None = None


def find_app(spec: str | None, environment: Mapping[str, str] = os.environ) -> Found:
    """The app in force: the given one, else what the surroundings name.

    Raises:
        NoAppNamed: Nothing names an app. Says what was tried.
        ConfigurationError: `pyproject.toml` can't be used.
    """
    here = Path.cwd()
    if spec:
        return Found(spec, here, "--app")
    if named := environment.get(APP_VARIABLE):
        return Found(named, here, APP_VARIABLE)
    file = project_file(here)
    if file is not None and (configured := configured_app(file)):
        return Found(configured, file.parent, f"[tool.cloudq] app in {file}", file)
    for name in _USUAL:
        for usual in (here / f"{name}.py", here / name / "__init__.py"):
            if usual.is_file():
                folder, parts = in_packages(usual)  # within a package, `tasks.py` is `shop.tasks` to its senders
                return Found(".".join(parts), folder, str(usual), usual)
    if (django := _djangos(here, environment)) is not None:
        return django
    project = file or PROJECT_FILE
    raise NoAppNamed(
        f"no app was found in {here}: tried --app, {APP_VARIABLE}, [tool.cloudq] app in {project}, app.py and tasks.py,"
        " DJANGO_SETTINGS_MODULE and manage.py",
        hint="name the module that declares the tasks: --app shop.tasks",
    )


def _djangos(here: Path, environment: Mapping[str, str]) -> Found | None:
    """The app of a Django project, which its own settings describe, if one is named or lies here."""
    manage = here / "manage.py"
    if environment.get(_DJANGO_VARIABLE):
        return Found(_DJANGO_APP, here, _DJANGO_VARIABLE)
    if _DJANGO_VARIABLE in _text(manage):
        return Found(_DJANGO_APP, here, str(manage), manage)
    return None


def load_app(spec: str | Found | None, *, safe_path: bool | None = None) -> App:
    """Imports the app that `spec` (or the surroundings) names, with its `imports`, ready to be worked for.

    The folder where it was found, for a text the current one, goes on the import path: first if the module is there,
    else last, so that no file in it takes the place of an installed module.

    Args:
        spec: `module` or `module:attribute`, or what `find_app` gave; `None` to look around, as it does.
        safe_path: Whether no folder is put on the import path; default: as `PYTHONSAFEPATH` and `-P` say.

    Raises:
        ConfigurationError: It can't be imported, isn't there, isn't an App, or declares no tasks.
        TaskDefinitionError: A task's declaration is wrong.
    """
    spec, folder, _, _ = spec if isinstance(spec, Found) else find_app(spec)
    attribute = spec.partition(":")[2]
    module = load_module(spec, folder, safe_path=safe_path)
    app = _named(module, attribute) if attribute else _only_app(module)
    app.load()
    if not app.tasks:
        raise _no_tasks(spec, module, app)
    return app


def load_module(spec: str, folder: Path, *, safe_path: bool | None = None) -> ModuleType:
    """Imports the module that `module` or `module:attribute` names, from a folder or from what is installed.

    Args:
        spec: What to import.
        folder: What goes on the import path.
        safe_path: See `load_app`.

    Raises:
        ConfigurationError: It can't be imported, or isn't there.
        TaskDefinitionError: A task's declaration in it is wrong.
    """
    if not (sys.flags.safe_path if safe_path is None else safe_path):
        _put_on_the_path(folder, module_of(spec))
    return _import(module_of(spec), spec, folder)


def _put_on_the_path(folder: Path, module: str) -> None:
    top = folder / module.partition(".")[0]
    if top.is_dir() or top.with_name(f"{top.name}.py").is_file():
        if str(folder) not in sys.path[:1]:
            sys.path.insert(0, str(folder))
    elif str(folder) not in sys.path:
        sys.path.append(str(folder))


def _import(module: str, spec: str, folder: Path) -> ModuleType:
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
            safe = "PYTHONSAFEPATH keeps folders off the import path: put this one on PYTHONPATH, or install the module"
            raise ConfigurationError(
                f"there is no module {module!r} to import from {folder}",
                hint="check --app, and the folder you are in" if str(folder) in sys.path else safe,
            ) from error
        raise not_imported(f"{module} can't be imported", error) from error


def _named(module: ModuleType, attribute: str) -> App:
    value = module
    for part in attribute.split("."):
        value = getattr(value, part, None)  # type: ignore[assignment]  # from a module to what it holds
    app = _app_in(value)
    if app is None:
        raise _no_app(module, attribute, value)
    return app


def _app_in(value: object) -> App | None:
    """The App that a value is, or that it says it stands for: an app in Celery's words, say."""
    if isinstance(value, App):
        return value
    stands_for = getattr(type(value), "__cloudq_app__", None)
    return None if stands_for is None else stands_for(value)


def _only_app(module: ModuleType) -> App:
    apps = _apps_of(module)
    if len(apps) > 1:
        names = ", ".join(sorted(f"{module.__name__}:{name}" for name in apps))
        raise ConfigurationError(f"{module.__name__} has several Apps: {names}", hint="name one of them with --app")
    return next(iter(apps.values()), default)


def _apps_of(module: ModuleType) -> Mapping[str, App]:
    """The Apps in a module's names, each under one of them."""
    found = ((name, _app_in(value)) for name, value in vars(module).items())
    return dict({id(app): (name, app) for name, app in found if app is not None}.values())


def _no_app(module: ModuleType, attribute: str, value: object) -> ConfigurationError:
    """The error for `module:attribute` that is no App."""
    what = "the module has nothing of that name" if value is None else f"it is {kind_of(value)}"
    apps = sorted(f"{module.__name__}:{name}" for name in _apps_of(module))
    hint = f"its Apps: {', '.join(apps)}" if apps else f"it has no App: --app {module.__name__} is the default one"
    return ConfigurationError(f"{module.__name__}:{attribute} is no App: {what}", hint=hint)


def _no_tasks(spec: str, module: ModuleType, app: App) -> ConfigurationError:
    """The error for an App without a task: where the tasks are, if they are anywhere near."""
    what = f"{spec} was imported, but it declares no task"
    others = {name: other for name, other in _apps_of(module).items() if other is not app and other.tasks}
    if default is not app and (names := _tasks_of(default, module)):
        return ConfigurationError(
            f"{what}: its App has none, and {names} belong to the default app",
            hint="decorate with the App's own @app.task, or do without an App",
        )
    if others:
        names = ", ".join(f"{module.__name__}:{name}" for name in sorted(others))
        return ConfigurationError(f"{what}: another App of it has some", hint=f"--app {names}")
    parts = sorted(
        path.stem for path in map(Path, _files(module)) if path.stem != "__init__" and "cloudq" in _text(path)
    )
    if parts:
        names = ", ".join(f"{module.__name__}.{part}" for part in parts[:3])
        return ConfigurationError(
            f"{what}: it is a package, and its modules aren't imported with it",
            hint=f"--app {names.partition(',')[0]}, or App(imports=[...]) with: {names}",
        )
    return ConfigurationError(
        what, hint="decorate functions with @cloudq.task, or name the modules that do in App(imports=[...])"
    )


def _tasks_of(app: App, module: ModuleType) -> str:
    """Some of the tasks that a module declared in another App."""
    names = sorted(name for name, task in app.tasks.items() if task.__module__ == module.__name__)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _files(module: ModuleType) -> list[Path]:
    return [file for folder in getattr(module, "__path__", ()) for file in Path(folder).glob("*.py")]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
