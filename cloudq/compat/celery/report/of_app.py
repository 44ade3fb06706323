"""Reading a Celery app's object: its settings, routes, schedule and tasks. Imports nothing of Celery's itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cloudq.compat.celery.report.findings import UNKNOWN, Finding, found, judged
from cloudq.compat.celery.report.overridden import of_a_task, of_the_app
from cloudq.compat.celery.setting_names import SETTINGS, of_result_backends
from cloudq.compat.celery.settings import BACKENDS, OLD, STORES, check_routes, routes_in
from cloudq.compat.celery.task_options import TASK_OPTIONS
from cloudq.compat.celery.verdicts import maps, refused
from cloudq.errors import ConfigurationError

_HERE: Final = "settings"
_OF_A_BACKEND: Final = refused("the store's URL says it, as result_backend: delete it")
# Of a decorated task these are how it is made, and not asked of anybody.
_PLAIN: Final = frozenset({"name", "abstract", "request_stack", "from_config", "base", "bind", "shared", "lazy"})
# What Celery itself sets on a task when it is bound to its app.
_TRUE_BY_DEFAULT: Final = frozenset({"typing", "acks_on_failure_or_timeout", "acks_on_failure", "acks_on_timeout"})
_KEPT_AS: Final = {"backend": "_backend"}  # `backend` itself is the app's where a task has none
_NO_ANY: Final = refused("a payload names its arguments: declare it as a list")
_NO_ASYNC: Final = refused("declare it with @cloudq.task")
_OLD_NAME: Final = refused("a setting of Celery's old kind: `celery upgrade settings FILE` writes the new names")
NO_WARNING: Final = refused("time_limit is the longer one, or there is no soft_time_limit")


def is_celery_app(value: object) -> bool:
    """Whether it is an app of Celery's own."""
    return any((kind.__module__, kind.__name__) == ("celery.app.base", "Celery") for kind in type(value).__mro__)


def of_app(app: Any) -> Iterator[Finding]:
    """What an app's object asks of Celery. Its modules of tasks are imported first, as a worker does it."""
    app.loader.import_default_modules()
    app.finalize()
    yield from _settings(app)
    yield from of_the_app(app)
    for name in sorted(app.tasks):
        if not name.startswith("celery."):
            yield from _task(app, app.tasks[name])


def own_tasks(app: Any) -> list[str]:
    """The names of the tasks that the program declares."""
    return sorted(name for name in app.tasks if not name.startswith("celery."))


def _settings(app: Any) -> Iterator[Finding]:
    conf, defaults = app.conf, sys.modules["celery.app.defaults"].DEFAULTS
    for name in defaults:
        value = conf.get(name)
        asked = value != defaults[name] or any(_is_in(given, name, app.namespace) for given in conf.maps[:-1])
        if value is not None and value not in ((), [], {}) and asked:
            yield from setting(name, value, _HERE)
    if not app.namespace:
        yield from (found("setting", name, _OLD_NAME, _HERE) for given in conf.maps[:-1] for name in _old_in(given))
    if ends_before(conf.get("task_time_limit"), conf.get("task_soft_time_limit")):
        yield found("setting", "task_time_limit before task_soft_time_limit", NO_WARNING, _HERE)


def _is_in(given: Any, name: str, namespace: str | None) -> bool:
    """Whether the program says it itself, be it what Celery does anyway."""
    prefixed = f"{namespace}_{name}"
    return name in given or (bool(namespace) and (prefixed.upper() if prefixed[0].isupper() else prefixed) in given)


def _old_in(given: Any) -> list[str]:
    """The names of Celery's first versions in a source."""
    known = sys.modules["celery.app.defaults"]._OLD_SETTING_KEYS
    return [name for name in sorted(known) if name.isupper() and name.startswith(OLD) and name in given]


def setting(name: str, value: Any, place: str) -> Iterator[Finding]:
    """What becomes of a setting. A URL is shown by its scheme alone: the rest may be a password.

    Args:
        name: Its lower-case name.
        value: What it is set to, or `UNKNOWN`.
        place: Where that is.
    """
    if value is UNKNOWN and not of_result_backends(name):
        yield judged("setting", SETTINGS, name, value, place)
    elif name == "task_routes":
        yield from _routes(value, place)
    elif name == "beat_schedule":
        for entry in value:
            yield found("schedule", str(entry), SETTINGS[name], place)
    elif name in {"broker_url", "result_backend"}:
        yield _url(name, value, place)
    elif of_result_backends(name):
        yield found("setting", name, _OF_A_BACKEND, place)
    else:
        yield judged("setting", SETTINGS, name, value, place)


def _url(name: str, value: object, place: str) -> Finding:
    schemes = BACKENDS if name == "broker_url" else STORES
    scheme = str(value).removeprefix("db+").partition(":")[0].partition("+")[0]
    what = "a backend" if name == "broker_url" else "a store"
    entry = (
        maps("the same URL") if scheme in schemes else refused(f"the URL of {what} of cloudq's: {', '.join(schemes)}")
    )
    return found("setting", f"{name} {scheme}", entry, place)


def _routes(value: Any, place: str) -> Iterator[Finding]:
    for pattern, route in routes_in(value):
        try:
            check_routes([(pattern, route)] if route is not None else [pattern])
        except ConfigurationError as error:
            yield found("route", str(pattern), refused(f"{error.message}; {error.hint}"), place)
        else:
            yield found("route", str(pattern), maps("the queue of that name"), place)


def _task(app: Any, task: Any) -> Iterator[Finding]:
    function = inspect.unwrap(getattr(task, "__wrapped__", task.run))
    place = f"{task.name}{_place(function)}"
    yield found("task", "task", maps("a task of the same name"), place)
    yield from of_a_task(task)
    base: Any = next(k for k in type(task).__mro__ if (k.__module__, k.__name__) == ("celery.app.task", "Task"))
    by_settings = {attribute: app.conf.get(setting) for attribute, setting in base.from_config}
    for name in TASK_OPTIONS:
        # Not by `getattr`: Celery warns of some that are asked for.
        kept = _KEPT_AS.get(name, name)
        value, plain = inspect.getattr_static(task, kept, None), inspect.getattr_static(base, kept, None)
        if (
            name in _PLAIN
            or (name in _TRUE_BY_DEFAULT and value is True)
            or value == plain
            or (name in by_settings and value == by_settings[name])
            or callable(plain)
        ):
            continue
        yield judged("task option", TASK_OPTIONS, name, value, place)
    if task.soft_time_limit != app.conf.task_soft_time_limit and ends_before(task.time_limit, task.soft_time_limit):
        yield found("task option", "time_limit before soft_time_limit", NO_WARNING, place)
    if inspect.iscoroutinefunction(function):
        yield found("task", "async def", _NO_ASYNC, place)
    if any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(function).parameters.values()):
        yield found("task", "*args", _NO_ANY, place)


def ends_before(hard: Any, soft: Any) -> bool:
    """Whether a hard time limit leaves no time for the soft one."""
    return isinstance(hard, (int, float)) and isinstance(soft, (int, float)) and 0 < hard < soft


def _place(function: Any) -> str:
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    file = Path(code.co_filename)
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f" ({shown}:{code.co_firstlineno})"
