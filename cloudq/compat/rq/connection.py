"""`Connection`: in the place of RQ's Redis connection, an App whose tasks are the functions of the modules it names."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any, Final, TypeAlias, Unpack

from cloudq.app import App
from cloudq.compat.rq.retrying import POLICY, retried
from cloudq.errors import CloudqError, ConfigurationError, OptionError, TaskDefinitionError
from cloudq.tasks.app_settings import AppSettings
from cloudq.tasks.definition import Definition
from cloudq.tasks.importing import not_imported
from cloudq.tasks.naming import default_name
from cloudq.tasks.options import TaskOptions
from cloudq.tasks.task import Task, definition_of

Seconds: TypeAlias = int | float | timedelta
"""As RQ has spans: a number of seconds. -1 stands for no end."""

TIMEOUT: Final = 180
"""RQ's own default (`Queue.DEFAULT_TIMEOUT` of RQ 3.0)."""
RESULT_TTL: Final = 500
"""RQ's own default (RQ 3.0, documentation of results)."""


class Connection(App):
    """Modules whose functions may be jobs, and where the jobs are kept.

    A job's function is named by a text in its message, which anybody may have written who can write to the queue. So
    nothing is imported for a message: a worker imports these modules when it starts, and a name that isn't one of their
    functions is an unknown task. Each function is a task of its own name, `pages.is_page_ok`, in cloudq's own format:
    when it is declared with `@cloudq.task` later, messages under way stay valid.

    Example:
        ```python
        from cloudq.compat.rq import Connection, Queue

        redis = Connection("pages", "mails:send_mail", job_timeouts={"pages.crawl": 600})
        important = Queue("important", connection=redis)
        ```

    Args:
        modules: Modules, of which the public functions may be jobs that are declared there and can be; or single
            functions, `"mails:send_mail"`.
        job_timeout: After how long a run is ended, in seconds; -1: never.
        job_timeouts: The same for single functions, by their names.
        result_ttl: For how long it is kept what a job returned and how far it has come, in seconds; `None` or 0: not at
            all. Needs a store, which there is beside an SQLite file.
        url: Where jobs are kept; default: `CLOUDQ_URL`, else `sqlite:///cloudq.db`.
        **settings: See `AppSettings`.

    Raises:
        ConfigurationError: One of them isn't what it should be.
    """

    def __init__(
        self,
        *modules: str,
        job_timeout: Seconds = TIMEOUT,
        job_timeouts: Mapping[str, Seconds] | None = None,
        result_ttl: Seconds | None = RESULT_TTL,
        url: str | None = None,
        **settings: Unpack[AppSettings],
    ) -> None:
        for entry in modules:
            if not isinstance(entry, str) or not entry.replace(":", ".").replace(".", "_").isidentifier():
                raise ConfigurationError(
                    f"{entry!r} names no module", hint='Connection("pages"), or Connection("pages:is_page_ok")'
                )
        if not modules:
            raise ConfigurationError(
                "no modules: their functions are all that may be a job", hint='Connection("pages")'
            )
        self.modules = modules
        self.result_ttl = None if result_ttl is None else life_of_results(result_ttl)
        self._time_limit = _limit("job_timeout", job_timeout)
        self._time_limits = {
            name: _limit(f"job_timeouts[{name!r}]", limit) for name, limit in (job_timeouts or {}).items()
        }
        self._queues: dict[str, None] = {}
        self._decorated: list[Definition] = []
        self._declaring = threading.RLock()
        if settings.get("strict_queues") is None:
            settings["strict_queues"] = False  # RQ's functions may go to every queue
        super().__init__(url, **settings)

    def has_queue(self, name: str) -> None:
        """Notes that there is a queue of that name: a worker that is given none serves all of them."""
        self._queues[name] = None

    def load(self) -> None:
        """As `App.load`; and imports the modules, and declares their functions.

        Raises:
            ConfigurationError: A module can't be imported, or a function that was named isn't there.
            TaskDefinitionError: A function that was named can't be a task.
        """
        for entry in self.modules:
            module, _, named = entry.partition(":")
            for function in [_found(module, named)] if named else _public(module):
                try:
                    self._declared(function)
                except TaskDefinitionError:
                    if named:
                        raise
                    # One of many in its module, of which nobody said that it is a job.
        for definition in self._decorated:  # each may go to the queues too that were made after its declaration
            definition.own_queues = tuple(dict.fromkeys((*definition.own_queues, *self._queues)))
        super().load()

    def job_task(self, function: Callable[..., Any] | str) -> Task[..., Any]:
        """The task of a function, or of what `"pages.is_page_ok"` names.

        Raises:
            ConfigurationError: It is of no module that this names, so that no worker would run it.
            TaskDefinitionError: It can't be a task.
        """
        if isinstance(function, Task):
            return function
        if isinstance(function, str):
            task = self.tasks.get(function)
            if task is not None:
                return task
            module, _, attribute = function.rpartition(".")
            self._refuse_unnamed(module, attribute, function)
            function = _found(module, attribute)
        if not inspect.isfunction(function):
            raise OptionError(
                f"a job is a function of a module, or its name, not {function!r}",
                hint="a method's object doesn't travel: write a function that makes it",
            )
        name = default_name(function)
        task = self.tasks.get(name)
        if task is None:
            self._refuse_unnamed(name.removesuffix(f".{function.__qualname__}"), function.__qualname__, name)
            task = self._declared(function)
        return task

    def declare(
        self,
        function: Callable[..., Any],
        queue: str,
        *,
        timeout: Seconds | None = None,
        result_ttl: Seconds | None = None,
    ) -> None:
        """Declares a function of one of the modules, a private one too, with options of its own: see `job`.

        Args:
            function: Which.
            queue: Where it goes if a send doesn't say.
            timeout: After how long a run is ended, in seconds; -1: never. By itself as the connection says.
            result_ttl: For how long it is kept what it returned, in seconds; 0: not at all. By itself that of the
                connection.

        Raises:
            ConfigurationError: It is of no module that this names, so that no worker would run it.
            TaskDefinitionError: It can't be a task, or another one has its name.
            OptionError: A span isn't one.
        """
        name = default_name(function)
        self._refuse_unnamed(name.removesuffix(f".{function.__qualname__}"), function.__qualname__, name)
        limit = self.time_limit_of(name) if timeout is None else _limit("timeout", timeout)
        kept = self.result_ttl if result_ttl is None else life_of_results(result_ttl)
        with self._declaring:
            definition = self._definition(function, name, limit, kept)
            definition.own_queues = tuple(dict.fromkeys((queue, *definition.own_queues)))
            self._registry.add(definition)
            self._decorated.append(definition)

    def keeps_results(self, task: str | None) -> bool:
        """Whether something is noted of the jobs of a task; `None`: of any one."""
        found = None if task is None else self.tasks.get(task)
        asked = self.tasks.values() if found is None else [found]
        return (found is None and self.result_ttl is not None) or any(
            definition_of(one).run_options.keep_result is not None for one in asked
        )

    def time_limit_of(self, task: str) -> timedelta | None:
        """How long a run of that task may take by what the connection was given, or `None` for no end."""
        return self._time_limits.get(task, self._time_limit)

    def _refuse_unnamed(self, module: str, attribute: str, name: str) -> None:
        if module not in self.modules and f"{module}:{attribute}" not in self.modules:
            raise ConfigurationError(
                f"{name} is in none of the modules whose functions may be jobs ({', '.join(self.modules)})",
                hint=f"Connection({module!r}, ...)" if module else "name it with its module: pages.is_page_ok",
            )

    def _declared(self, function: Callable[..., Any]) -> Task[..., Any]:
        name = default_name(function)
        with self._declaring:
            task = self.tasks.get(name)
            if task is None:
                definition = self._definition(function, name, self.time_limit_of(name), self.result_ttl)
                definition.parameters.check_types()
                if self.result_ttl is not None:
                    definition.result_type.check()
                task = self._registry.add(definition)
            return task

    def _definition(
        self, function: Callable[..., Any], name: str, limit: timedelta | None, kept: timedelta | None
    ) -> Definition:
        options: TaskOptions = {"retry": POLICY, "queues": tuple(self._queues) or (self.default_queue,)}
        if limit is not None:
            options["time_limit"] = limit
        if kept is not None:
            options["keep_result"], options["track"] = kept, True
        return Definition(self, retried(function), name, options)


def span(name: str, value: Seconds) -> timedelta:
    """A span that is given in seconds, as in RQ.

    Raises:
        OptionError: It isn't one of more than 0.
    """
    try:
        found = value if isinstance(value, timedelta) else timedelta(seconds=value)
    except (TypeError, OverflowError, ValueError):
        found = timedelta(0)
    if found <= timedelta(0):
        raise OptionError(f"{name} is a number of seconds from 1, not {value!r}", hint=f"{name}=600")
    return found


def life_of_results(value: Seconds) -> timedelta | None:
    """For how long a result is kept; `None` for 0: not at all.

    Raises:
        OptionError: It is no number of seconds, or a negative one.
    """
    return None if value == 0 else span("result_ttl", value)


def _limit(name: str, value: Seconds) -> timedelta | None:
    return None if value == -1 else span(name, value)


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except CloudqError:
        raise  # a task's declaration, say: it explains itself
    except Exception as error:
        raise not_imported(f"{name}, whose functions may be jobs, can't be imported", error) from error


def _found(module: str, attribute: str) -> Callable[..., Any]:
    function = getattr(_module(module), attribute, None)
    if not inspect.isfunction(function):
        raise ConfigurationError(f"{module} has no function {attribute!r}", hint="name one that it declares")
    if function.__module__ != module:
        raise ConfigurationError(
            f"{module}.{attribute} is a function of {function.__module__}", hint=f'"{function.__module__}:{attribute}"'
        )
    return function


def _public(module: str) -> Iterable[Callable[..., Any]]:
    for name, value in list(vars(_module(module)).items()):
        if inspect.isfunction(value) and value.__module__ == module and not name.startswith("_"):
            yield value
