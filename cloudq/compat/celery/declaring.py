"""From a declaration in Celery's words to one of cloudq's."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from cloudq.compat.celery.limits import declared
from cloudq.compat.celery.retrying import most_retries, policy_of, seconds
from cloudq.compat.celery.settings import Settings, routes_in
from cloudq.compat.celery.task import Task
from cloudq.errors import OptionError, TaskDefinitionError
from cloudq.flow.rates import Rate
from cloudq.tasks.options import TaskOptions

_MAIN: Final = ("__main__", "__mp_main__")
_LONGEST: Final = timedelta(days=3_650)


def name_of(module: str, name: str, main: str | None) -> str:
    """The name of a task that is given none."""
    return f"{main or module if module in _MAIN else module}.{name}"


def made(function: Callable[..., Any], kind: type[Task], main: str | None, options: Mapping[str, Any]) -> Task:
    """A task of a function, which no app has declared yet.

    Raises:
        TaskDefinitionError: An option can't be honoured, or the function can't be a task.
    """
    base = options.get("base") or kind
    if not (isinstance(base, type) and issubclass(base, Task)):
        raise TaskDefinitionError(
            f"the base {getattr(base, '__name__', base)!r} is no Task", hint="from cloudq.compat.celery import Task"
        )
    task: Task = base.__new__(base)
    task.of_default_base = not options.get("base")
    task.take(function, options.get("name") or name_of(function.__module__, function.__name__, main), options)
    base.__init__(task)  # a program's own may have one, as with Celery
    return task


def options_of(task: Task, conf: Settings, *, stored: bool) -> TaskOptions:
    """The declaration in cloudq's words, settings in the place of what it leaves out."""
    made: TaskOptions = {"retry": policy_of(most_retries(task))}
    queue = task.queue or route_of(task.name, conf)
    priorities = conf["cloudq_priorities"]
    priority = task.priority if task.priority is not None else conf["task_default_priority"]
    if queue is not None:
        made["queue"] = queue
    elif priorities:
        if priority is None or priority not in priorities:
            raise TaskDefinitionError(
                f"task {task.name!r}: its priority {priority!r} is none of the setting cloudq_priorities",
                hint="@app.task(priority=...), or the setting task_default_priority",
            )
        made["priorities"] = {str(number): name for number, name in priorities.items()}
        made["priority"] = str(priority)
    if priority is not None and (queue is not None or not priorities):
        raise TaskDefinitionError(
            f"task {task.name!r}: Celery's option 'priority' can't be honoured without the setting cloudq_priorities",
            hint="cloudq_priorities = {9: 'urgent', 5: 'celery', 0: 'bulk'}, and no queue beside it",
        )
    limit = declared(task, conf).last
    if limit is not None:
        made["time_limit"] = limit
    rate = _rate_of(task, conf)
    if rate is not None:
        made["rate"] = rate
    ignored = task.ignore_result if task.ignore_result is not None else conf["task_ignore_result"]
    if stored and not ignored:
        made["keep_result"] = _kept(conf["result_expires"])
        made["track"] = bool(task.track_started if task.track_started is not None else conf["task_track_started"])
    return made


def _rate_of(task: Task, conf: Settings) -> Rate | None:
    """The rate of a task; `None` for no limit, which 0 is, too, as with Celery."""
    option = "rate_limit" if task.rate_limit is not None else "task_default_rate_limit"
    given = conf[option] if task.rate_limit is None else task.rate_limit
    if given is None:
        return None
    count, _, period = str(given).partition("/")
    with suppress(ValueError):
        number = float(count)
        if number == 0:
            return None
        count = str(int(number)) if number.is_integer() else count  # Celery's may be a float
    try:
        return Rate(f"{count}/{period or 's'}", per_worker=True)
    except OptionError as error:
        where = f"task {task.name!r}: Celery's option {option!r} can't be honoured"
        raise TaskDefinitionError(f"{where}: {error.message}", hint=error.hint) from error


def _kept(expires: Any) -> timedelta:
    span = seconds("result_expires", expires or timedelta(days=3_650))
    return span or timedelta(days=3_650)


def route_of(name: str, conf: Settings) -> str | None:
    """The queue of a task by `task_routes`: its own name first, then the patterns in their order."""
    routes = [
        (pattern, route if isinstance(route, str) else route["queue"])
        for pattern, route in routes_in(conf["task_routes"] or {})
    ]
    for pattern, queue in routes:
        if pattern == name:
            return str(queue)
    for pattern, queue in routes:
        found = fnmatch.fnmatchcase(name, pattern) if isinstance(pattern, str) else pattern.match(name)
        if found:
            return str(queue)
    return None
