"""`Celery`: an app as Celery's programs make it, over one of cloudq's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from threading import RLock
from typing import TYPE_CHECKING, Any

from cloudq.app import App
from cloudq.compat.celery import request
from cloudq.compat.celery.app_options import APP_METHODS, APP_OPTIONS
from cloudq.compat.celery.bases import loaded, rebase
from cloudq.compat.celery.calls import send_options, zone_of
from cloudq.compat.celery.canvas import Signature
from cloudq.compat.celery.contracts import Runnable
from cloudq.compat.celery.current import made_by, make_current, take_shared
from cloudq.compat.celery.declaring import made, name_of, options_of, route_of
from cloudq.compat.celery.discovering import import_all, in_django, installed_apps
from cloudq.compat.celery.finalizing import Declarations
from cloudq.compat.celery.registry import Tasks
from cloudq.compat.celery.result import AsyncResult, EagerResult
from cloudq.compat.celery.runs import function_of
from cloudq.compat.celery.settings import OF_APPS, OF_DECLARATIONS, Settings
from cloudq.compat.celery.task import Task
from cloudq.compat.celery.verdicts import check
from cloudq.errors import ConfigurationError, OptionError, TaskDefinitionError
from cloudq.tasks.task import Task as CloudqTask

if TYPE_CHECKING:
    from datetime import tzinfo


class Celery:
    """An app: settings, tasks, and the cloudq App that runs them, which is made when it is first used.

    Example:
        ```python
        from cloudq.compat.celery import Celery

        app = Celery("proj", broker="sqs://eu-west-1")

        @app.task(bind=True, max_retries=5)
        def resize(self, image: str) -> None: ...
        ```

    Args:
        main: The name of the module that declares tasks, where that is run as a script.
        broker: The URL of cloudq's backend; default: `CLOUDQ_URL`.
        backend: The URL of a store of results; default: `CLOUDQ_STORE_URL`.
        include: Modules that declare tasks.
        **options: See `APP_OPTIONS`; others are settings.

    Raises:
        ConfigurationError: What is asked for can't be honoured; it says which.
    """

    def __init__(
        self,
        main: str | None = None,
        *,
        broker: str | None = None,
        backend: str | None = None,
        include: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        own = {name: value for name, value in options.items() if name in APP_OPTIONS}
        check(APP_OPTIONS, own, ConfigurationError, f"Celery({main!r})")
        self.main = main
        self.conf = Settings()
        self._task_cls: str | None = None
        task_cls = own.get("task_cls") or Task
        if isinstance(task_cls, str):
            self._task_cls = task_cls  # loaded when tasks are declared: its module may import the app
        else:
            self.Task: type[Task] = task_cls
        self._lock = RLock()
        self._declarations = Declarations(
            find=self._find, shared=lambda: take_shared(self), begin=self._app, declare=self._declare, end=self._end
        )
        self._discover: list[tuple[Callable[[], Iterable[str]], str | None]] = []
        self._cloudq: App | None = None
        given = {name: value for name, value in options.items() if name not in APP_OPTIONS}
        self.conf.update({**given, **(own.get("changes") or {})})
        for name, value in (("broker_url", broker), ("result_backend", backend), ("include", include)):
            if value is not None:
                self.conf[name] = value
        if (source := own.get("config_source")) is not None:
            self.config_from_object(source, namespace=own.get("namespace"))
        if own.get("set_as_current", True):
            make_current(self)

    def __repr__(self) -> str:
        """Its name."""
        return f"<Celery {self.main or '__main__'}>"

    # ── settings ─────────────────────────────────────────────────────────────────────────────────────────

    def config_from_object(
        self,
        obj: object,
        silent: bool = False,
        force: bool = False,
        namespace: str | None = None,
    ) -> None:
        """Has settings read from an object, a mapping or the name of one, at the first look at a setting.

        A second one takes the place of the first, as with Celery.

        Args:
            obj: `"proj.celeryconfig"`, `"django.conf:settings"`, or the object itself.
            silent: Refused: settings that can't be read are an error.
            force: Whether it is read now.
            namespace: The prefix of the settings: `"CELERY"`; default: that of the one before.

        Raises:
            ConfigurationError: A setting can't be honoured.
        """
        if silent:
            raise ConfigurationError(
                "config_from_object: Celery's option 'silent' can't be honoured", hint="leave it out"
            )
        self.conf.use(obj, namespace)
        if force:
            self.conf.read()

    def config_from_envvar(self, variable_name: str, silent: bool = False, force: bool = False) -> None:
        """As `config_from_object`, of what an environment variable names.

        Raises:
            ConfigurationError: It isn't set.
        """
        named = os.environ.get(variable_name)
        if not named:
            raise ConfigurationError(f"{variable_name} isn't set, which is to name the settings", hint="set it")
        self.config_from_object(named, silent, force)

    def add_defaults(self, fun: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Settings beneath those that the program sets, and before those of `config_from_object`."""
        self.conf.add_defaults(fun() if callable(fun) else fun)

    @property
    def timezone(self) -> tzinfo:
        """That of moments which have none."""
        return zone_of(self.conf)

    def now(self) -> datetime:
        """The time, in the app's time zone."""
        return datetime.now(self.timezone)

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────

    def task(self, *args: Any, **options: Any) -> Any:
        """Declares a task: `@app.task`, `@app.task(bind=True, queue="mail")`. See `TASK_OPTIONS`.

        Raises:
            TaskDefinitionError: An option can't be honoured, or the function can't be a task.
        """

        def declare(function: Callable[..., Any]) -> Task:
            return self._add(made(function, Task if self._task_cls else self.Task, self.main, options))

        return declare(args[0]) if len(args) == 1 and callable(args[0]) else declare

    def register_task(self, task: Task | type[Task], **_: Any) -> Task:
        """Declares a task that is a class with a `run`."""
        return self._add(task() if isinstance(task, type) else task)

    def gen_task_name(self, name: str, module: str) -> str:
        """The name of a task that is given none."""
        return name_of(module, name, self.main)

    def autodiscover_tasks(
        self,
        packages: Sequence[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Has the `tasks` modules of packages imported before tasks are looked for.

        Args:
            packages: Their names; default: Django's installed apps.
            related_name: The module in each; `None` for the packages themselves.
            force: Whether they are imported now.
        """
        found = packages if callable(packages) else (lambda: packages) if packages is not None else installed_apps
        self._discover.append((found, related_name))
        if force:
            self._import()

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks by name."""
        self.finalize()
        return Tasks(self._declarations.by_name)

    def finalize(self, auto: bool = False) -> None:
        """Imports what was to be discovered, and declares the tasks. Done by itself at the first use.

        Raises:
            ConfigurationError: A setting can't be honoured, or a module can't be imported.
            TaskDefinitionError: A task can't be declared.
        """
        del auto
        self._declarations.finalize()

    def _add(self, task: Task) -> Task:
        if task._app is None:
            task._app = self
        self._declarations.add([task])
        return task

    def declare(self, task: Task) -> CloudqTask[..., Any]:
        """Declares one that came late: a part of its first use."""
        return self._declarations.declare(task)

    def take_late(self) -> None:
        """Declares shared tasks that became its own after all others were declared: a worker has to know them."""
        self._declarations.take_late()

    def _find(self) -> None:
        self._import()
        _ = self.Task  # one that is named is imported here, as the tasks' modules are

    def _end(self) -> None:
        self.conf.fix({name: self.conf[name] for name in OF_DECLARATIONS})

    def _declare(self, task: Task) -> CloudqTask[..., Any]:
        if task._declared is None:
            rebase(task, self.Task)
            options = options_of(task, self.conf, stored=self._app().runtime.stores.in_use)
            task.declared_as(self._app().task(task.name, **options)(function_of(task)))
        declared = task._declared
        if declared is None:
            raise TaskDefinitionError(f"task {task.name!r} isn't declared")
        return declared

    def _import(self) -> None:
        import_all(self.conf, self._discover)

    # ── cloudq's ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def cloudq(self) -> App:
        """The App of cloudq's that has its tasks: what a worker, tests and `configure` take."""
        self.finalize()
        return self._app()

    def __cloudq_app__(self) -> App:
        """What `cloudq worker --app proj.celery:app` serves. It is current then, as in a worker of Celery's."""
        self.set_current()
        return self.cloudq

    def _app(self) -> App:
        if self._cloudq is None:
            self.conf.read()  # without the lock: it may import a module
            with self._lock:
                if self._cloudq is None:
                    self._cloudq = self._made()
        return self._cloudq

    def _made(self) -> App:
        url, store, queue = values = tuple(self.conf[name] for name in OF_APPS)
        made = App(url, store=store, default_queue=queue, strict_queues=False)  # with Celery a send may name any queue
        in_django(made)
        self.conf.fix(dict(zip(OF_APPS, values, strict=True)))
        return made

    def send_task(
        self, name: str, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult | EagerResult:
        """Sends a task by its name, which needn't be declared here: then its arguments go by name.

        Raises:
            OptionError: An option can't be honoured, or the task isn't known and there are arguments by position.
        """
        self.finalize()
        task = options.pop("task_type", None) or self._declarations.by_name.get(name)
        if task is not None:
            delivered: AsyncResult | EagerResult = task.deliver(args, kwargs, options)
            return delivered
        if args:
            raise OptionError(
                f"task {name!r} isn't declared here, so nothing says what its arguments are called", hint="kwargs={...}"
            )
        app = self.cloudq
        if options.get("queue") is None:
            options["queue"] = route_of(name, self.conf)
        sent = app.send(name, dict(kwargs or {}), **send_options(f"task {name!r}", options, self.conf, app.clock.now()))
        return AsyncResult(sent.id, app=self, task_name=name)

    def AsyncResult(self, id: str, **_: Any) -> AsyncResult:  # noqa: A002, N802 - Celery's names
        """What is known of a call."""
        return AsyncResult(id, app=self)

    def signature(self, varies: str | Task, *args: Any, **kwargs: Any) -> Signature:
        """A call of one of its tasks, to be sent later.

        Raises:
            NotRegistered: There is no such task.
        """
        return (varies if isinstance(varies, Task) else self.tasks[varies]).signature(*args, **kwargs)

    @property
    def current_task(self) -> Runnable | None:
        """The task that runs here, if one does."""
        return request.current_task()

    def set_current(self) -> None:
        """Makes it the app of tasks that are declared without one, and aren't used yet."""
        make_current(self)
        self.take_late()

    set_default = set_current

    def close(self) -> None:
        """Closes the backend and the store. The next use opens them again."""
        if self._cloudq is not None:
            self._cloudq.close()

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError that says what to do instead."""
            if name == "Task" and (task_cls := vars(self).get("_task_cls")):
                self.Task, self._task_cls = loaded(task_cls), None
                return self.Task
            entry = APP_METHODS.get(name)
            hint = "" if entry is None else f"; hint: {entry.ours}"
            raise AttributeError(f"a Celery app has no {name!r} here{hint}", name=name, obj=self)


made_by(lambda: Celery("default"))
