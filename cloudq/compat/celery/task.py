"""`Task`: a task in Celery's words, over one of cloudq's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from inspect import iscoroutinefunction
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Final

from cloudq.compat.celery import exceptions, runs
from cloudq.compat.celery.calls import check_call, check_retry, send_options, zone_of
from cloudq.compat.celery.canvas import Signature
from cloudq.compat.celery.contracts import Home
from cloudq.compat.celery.current import current
from cloudq.compat.celery.limits import declared
from cloudq.compat.celery.request import Request, pop, push, request_of, running
from cloudq.compat.celery.result import AsyncResult, EagerResult
from cloudq.compat.celery.retrying import check_retries, moment, most_deliveries, most_retries, seconds
from cloudq.compat.celery.task_options import TASK_METHODS, TASK_OPTIONS
from cloudq.compat.celery.verdicts import check
from cloudq.core.policy import DELIVERY_SLACK
from cloudq.errors import BackendError, OptionError, TaskDefinitionError
from cloudq.tasks.task import Task as CloudqTask
from cloudq.tasks.task import definition_of

_OF_THE_DECLARATION: Final = frozenset({"name", "bind", "base", "shared", "lazy"})


class Task:
    """A task as Celery's programs know it: `delay`, `apply_async`, `retry`, `request`.

    A base of a program's own may set options as attributes, and override the hooks: `before_start`, `on_success`,
    `on_retry`, `on_failure`, `after_return`. What they raise is logged.
    """

    MaxRetriesExceededError = exceptions.MaxRetriesExceededError
    OperationalError = BackendError

    abstract: ClassVar[bool] = True
    name: str = ""
    max_retries: int | None = 3
    default_retry_delay: float | timedelta | None = 180
    autoretry_for: Sequence[type[Exception]] = ()
    dont_autoretry_for: Sequence[type[Exception]] = ()
    retry_kwargs: Mapping[str, Any] = {}
    retry_backoff: bool | float = False
    retry_backoff_max: int = 600
    retry_jitter: bool = True
    time_limit: float | None = None
    soft_time_limit: float | None = None
    rate_limit: str | float | None = None
    ignore_result: bool | None = None
    track_started: bool | None = None
    expires: Any = None
    priority: int | None = None
    queue: str | None = None
    bound = True
    of_default_base = False
    function: Callable[..., Any]
    _app: Home | None = None
    _declared: CloudqTask[..., Any] | None = None

    def __init__(self) -> None:
        """A class with a `run` of its own, for `app.register_task`; its name is that of the class unless it says so."""
        if "function" in vars(self):
            return  # it is a function's
        self.function = type(self).run
        self.name = self.name or f"{type(self).__module__}.{type(self).__qualname__}"
        self.check()

    def take(self, function: Callable[..., Any], name: str, options: Mapping[str, Any]) -> None:
        """Makes it a task of a function. A part of declaring: programs have no need of it.

        Raises:
            TaskDefinitionError: An option can't be honoured, or the function can't be a task.
        """
        self.function, self.name = function, name
        self.bound = bool(options.get("bind", False))
        for option, value in options.items():
            if option not in _OF_THE_DECLARATION:
                setattr(self, option, value)
        vars(self)["run"] = MethodType(function, self) if self.bound else function
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__wrapped__ = function
        self.check(options)

    def check(self, options: Mapping[str, Any] = {}) -> None:
        """Refuses what can't be honoured, of the declaration and of the class.

        Raises:
            TaskDefinitionError: By the option's name.
        """
        where = f"task {self.name!r}"
        own = {
            name: getattr(self, name)
            for kind in type(self).__mro__
            if kind not in (Task, object)
            for name in vars(kind)
        }
        given = {**own, **options}
        check(TASK_OPTIONS, {n: v for n, v in given.items() if n in TASK_OPTIONS}, TaskDefinitionError, where)
        if iscoroutinefunction(self.function):
            raise TaskDefinitionError(f"{where} is an async def, which Celery has none of", hint="@cloudq.task")
        check_retries(where, self)

    def __repr__(self) -> str:
        """The name."""
        return f"<@task: {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function here and now. `self.retry` raises its `exc` then.

        A base of a program's own may override it: it goes around each run, in workers too.
        """
        current = request_of(self)
        if self.has_its_own_call and not current.called_directly and not current.entered:
            current.entered = True  # a run, by way of that `__call__`: what it calls in turn is a direct call
            return self.run(*args, **kwargs)
        with running(self, Request(args=args, kwargs=kwargs, task=self.name)):
            return self.run(*args, **kwargs)

    @property
    def has_its_own_call(self) -> bool:
        """Whether a base of the program's own has a `__call__`."""
        return type(self).__call__ is not Task.__call__

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """What the task does: the function that was declared, or a class's own."""
        raise NotImplementedError(f"task {self.name!r} has no run")

    @property
    def app(self) -> Home:
        """The app that it belongs to."""
        if self._app is None:
            self._app = current()
        return self._app

    @property
    def cloudq(self) -> CloudqTask[..., Any]:
        """The same as a task of cloudq's."""
        if self._declared is None:
            self.app.finalize()
            if self._declared is None:
                self._declared = self.app.declare(self)
        return self._declared

    def declared_as(self, task: CloudqTask[..., Any]) -> None:
        """Knows its counterpart from now on. A part of declaring."""
        self._declared = task

    request = property(request_of, doc="What is known of the run.")

    # ── calling ──────────────────────────────────────────────────────────────────────────────────────────

    def delay(self, *args: Any, **kwargs: Any) -> AsyncResult | EagerResult:
        """Stores a message that makes a worker run the task.

        Raises:
            PayloadError: The arguments don't fit the parameters. Nothing was stored.
            BackendError: It may not be stored.
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult | EagerResult:
        """As `delay`, with options: see `CALL_OPTIONS`. What can't be honoured is refused by its name.

        Raises:
            OptionError: An option can't be honoured, or means nothing. Nothing was stored.
            PayloadError: The arguments don't fit the parameters. Nothing was stored.
            BackendError: It may not be stored.
        """
        if self.app.conf["task_always_eager"]:
            return self.apply(args, kwargs, **options)
        check_call(f"task {self.name!r}", {name: options[name] for name in ("name", "task_type") if name in options})
        sent: AsyncResult | EagerResult = self.app.send_task(self.name, args, kwargs, task_type=self, **options)
        return sent

    def deliver(
        self, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, options: dict[str, Any]
    ) -> AsyncResult | EagerResult:
        """What its app's `send_task`, which a program may override, does for a task that it knows."""
        app = self.app
        if app.conf["task_always_eager"]:
            return self.apply(args, kwargs, **options)
        if self.expires is not None:
            options.setdefault("expires", self.expires)
        now, queue, limits = app.cloudq.clock.now(), self.cloudq.queue, declared(self, app.conf)
        made = send_options(f"task {self.name!r}", options, app.conf, now, queue=queue, limits=limits)
        sent = app.cloudq.send(self.cloudq.call_with(self._by_name(args, kwargs), made))
        return AsyncResult(sent.id, app=app, task_name=self.name)

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        throw: bool | None = None,
        **options: Any,
    ) -> EagerResult:
        """Runs it here and now, with all of its retries and without their delays.

        The arguments are written and read as a message's are; options are checked, and times and queues don't apply.
        """
        given = check_call(f"task {self.name!r}", options)
        payload = definition_of(self.cloudq).parameters.payload(self._by_name(args, kwargs))
        throw = bool(self.app.conf["task_eager_propagates"]) if throw is None else throw
        return runs.run_at_once(
            self, payload, throw=throw, retries=int(given.get("retries", 0)), headers=given.get("headers")
        )

    def _by_name(self, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
        if args is not None and not isinstance(args, (list, tuple)):  # a text would be taken for its letters
            raise TypeError(f"the arguments of task {self.name!r} are a list or a tuple, not {type(args).__name__}")
        return definition_of(self.cloudq).parameters.values(tuple(args or ()), kwargs or {})

    def bound_arguments(self, payload: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What its function is called with for a payload."""
        parameters = definition_of(self.cloudq).parameters
        return parameters.call(parameters.arguments(payload))

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """As `delay`, once Django's transaction is committed; lost if the process dies in between."""
        self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        """As `apply_async`, once Django's transaction is committed; lost if the process dies in between."""
        from django.db import transaction

        transaction.on_commit(partial(self.apply_async, args, kwargs, **options))

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """A call, to be sent later."""
        return Signature(self, args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """The same, which takes no more arguments."""
        return Signature(self, args, kwargs, immutable=True)

    def signature(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Signature:
        """A call with options, to be sent later."""
        immutable = bool(more.pop("immutable", False))
        return Signature(self, args or (), kwargs, {**(options or {}), **more}, immutable=immutable)

    subtask = signature

    def AsyncResult(self, task_id: str) -> AsyncResult:  # noqa: N802 - Celery's name
        """What is known of a call."""
        return AsyncResult(task_id, app=self.app, task_name=self.name)

    def push_request(self, /, *args: Any, **kwargs: Any) -> None:
        """Makes a request this task's until `pop_request`: for tests that call `run`."""
        push(self, Request(**dict(*args, **kwargs)))

    def pop_request(self) -> None:
        """Ends what `push_request` began."""
        pop(self)

    # ── in a run ─────────────────────────────────────────────────────────────────────────────────────────

    def retry(
        self,
        *,
        exc: BaseException | None = None,
        eta: datetime | None = None,
        countdown: float | timedelta | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> exceptions.Retry:
        """Raises what has the task run again: `raise self.retry(exc=error, countdown=60)`.

        Args:
            exc: What went wrong; raised in its place once the task has run again as often as it may.
            eta: When; one without a time zone is in the app's.
            countdown: In how many seconds; default: `default_retry_delay`.
            max_retries: How often at most, in place of the task's own.
            **options: Refused by their names, but for `throw=True`.

        Raises:
            Retry: Always, unless something else is raised.
            MaxRetriesExceededError: It has run as often as it may, and there is no `exc`.
            OptionError: An option can't be honoured.
        """
        where, request = f"{self.name}.retry", self.request
        check_retry(where, options, request)
        if request.called_directly:
            raise exc or exceptions.Retry("Task can be retried")
        most = self.max_retries if max_retries is None else max_retries
        if most is not None and request.retries + 1 > most:
            if exc is not None:
                raise exc
            raise self.MaxRetriesExceededError(
                f"Can't retry {self.name}[{request.id}]", task_args=request.args, task_kwargs=request.kwargs
            )
        if max_retries is not None and max_retries + 1 + DELIVERY_SLACK > most_deliveries(most_retries(self)):
            raise OptionError(
                f"{where}: max_retries={max_retries} is more than the declaration lets through",
                hint=f"@app.task(max_retries={max_retries})",
            )
        when: float | datetime | None
        if countdown is None and eta is not None:
            when = moment(eta, zone_of(self.app.conf))
        else:
            delay = self.default_retry_delay if countdown is None else countdown
            when = None if delay is None else seconds("countdown", delay).total_seconds()
        raise exceptions.Retry(exc=exc, when=when, is_eager=request.is_eager, granted=True) from exc

    # ── hooks, for a base of a program's own ─────────────────────────────────────────────────────────────

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Called before a run."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Called after a run that succeeded."""

    def on_retry(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called after a run that asked for another."""

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Called after a run that failed for good. `einfo` is the traceback, as a text."""

    def after_return(  # noqa: PLR0917 - Celery's signature
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Called after every run."""

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError that says what to do instead."""
            entry = TASK_METHODS.get(name) or TASK_OPTIONS.get(name)
            hint = f"; hint: {entry.ours}" if entry is not None else ""
            raise AttributeError(f"a task has no {name!r} here{hint}", name=name, obj=self)
