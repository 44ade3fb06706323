"""`App`: the tasks of one program and the backend that keeps their messages."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, Unpack, overload
from uuid import uuid4

from cloudq.backends import open_driver
from cloudq.binding import to_json
from cloudq.cloud_queue import CloudQueue
from cloudq.config import DEFAULT_URL, URL_VARIABLE, backend_url, parse_url
from cloudq.context import Context
from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.driver import Driver, SendResult
from cloudq.core.message import Message
from cloudq.core.policy import RetryPolicy
from cloudq.core.processor import Middleware
from cloudq.errors import CloudqError, ConfigurationError, OptionError, PayloadError, SendManyError, TaskDefinitionError
from cloudq.options import SendOptions, TaskOptions, check_queue, check_queue_name, check_send_options
from cloudq.tasks import Call, Definition, Sent, Task

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("cloudq")

_NO_PAYLOAD: Final[Mapping[str, object]] = {}
# Backends of a process that forked: kept, so that the child never closes what its parent still uses.
_inherited: Final[list[object]] = []

_apps: Final[weakref.WeakSet[App]] = weakref.WeakSet()


def _after_fork() -> None:
    # A thread that doesn't exist in the child may have held it.
    for app in list(_apps):
        app._lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


class TaskDecorator(Protocol):
    """What `app.task(...)` gives: a function in, a Task out, a leading Context hidden from callers."""

    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class _Backend:
    """An open driver and the handles of its queues, of one process."""

    def __init__(self, driver: Driver, clock: Clock, *, lent: bool) -> None:
        self.pid = os.getpid()
        self.driver = driver
        self.clock = clock
        self.lent = lent  # by `using`: neither to be closed here nor to be opened again
        self.queues: dict[str, CloudQueue] = {}


class App:
    """Tasks, where their messages go, and how they are sent.

    Apps don't see each other's tasks. Nothing is opened before the first use of a backend, so that an app can be
    declared at import.

    Example:
        ```python
        import cloudq

        app = cloudq.App("sqlite:///shop.db")

        @app.task
        def welcome(user_id: int) -> None: ...

        app.send(welcome, {"user_id": 42})
        ```

    Args:
        url: Where messages are kept; default: `CLOUDQ_URL`, else `sqlite:///cloudq.db`.
        imports: Modules that declare tasks of this app; a worker imports them at start.
        retry: The policy of all tasks that have none of their own.
        store: Reserved for the store of idempotency records. None can be set yet.
        middleware: Around every task, the first outermost.
        default_queue: The queue of all tasks that have none of their own.

    Raises:
        ConfigurationError: A `store` was given, or a value isn't of its type.
        OptionError: `default_queue` is no name of a queue.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        imports: Sequence[str] = (),
        retry: RetryPolicy | None = None,
        store: str | None = None,
        middleware: Sequence[Middleware[Context]] = (),
        default_queue: str = "default",
    ) -> None:
        self._lock = threading.RLock()
        _apps.add(self)
        self._backend: _Backend | None = None
        self._definitions: dict[str, Definition] = {}
        self._tasks: dict[str, Task[..., Any]] = {}
        self._eager = 0
        self._warned = False
        self.clock: Clock = SYSTEM_CLOCK
        self._url: str | None = None
        self.imports: tuple[str, ...] = ()
        self.retry_policy = RetryPolicy()
        self.middleware: tuple[Middleware[Context], ...] = ()
        self.default_queue = "default"
        self.configure(
            url, imports=imports, retry=retry, store=store, middleware=middleware, default_queue=default_queue
        )

    def __repr__(self) -> str:
        """How many tasks it has; no URL, which the environment may decide."""
        return f"App({len(self._tasks)} tasks)"

    def configure(
        self,
        url: str | None = None,
        *,
        imports: Sequence[str] | None = None,
        retry: RetryPolicy | None = None,
        store: str | None = None,
        middleware: Sequence[Middleware[Context]] | None = None,
        default_queue: str | None = None,
    ) -> None:
        """Sets what is given, as the constructor does; what is left out stays.

        Raises:
            ConfigurationError: The backend is open already, so a change would come too late; a `store` was given; or a
                value isn't of its type.
            OptionError: `default_queue` is no name of a queue.
        """
        with self._lock:
            if self._backend is not None and self._backend.pid == os.getpid():
                raise ConfigurationError(
                    "the app's backend is open already: this change would come too late",
                    hint="configure before the first send",
                )
            if store is not None:
                raise ConfigurationError(
                    "stores of idempotency records are not part of this version",
                    hint="leave store out: idempotency keys work by the backend's own de-duplication",
                )
            if isinstance(imports, str):
                raise ConfigurationError("imports is a list of modules, not a text", hint=f"imports=[{imports!r}]")
            if url is not None and not isinstance(url, str):
                raise ConfigurationError(f"url is a text, not a {type(url).__name__}", hint=f"e.g. {DEFAULT_URL}")
            if retry is not None and not isinstance(retry, RetryPolicy):
                raise ConfigurationError(f"retry is a RetryPolicy, not {retry!r}", hint="retry=cloudq.RetryPolicy(...)")
            if callable(middleware):
                raise ConfigurationError(f"middleware is a list, not {middleware!r}", hint="middleware=[...]")
            if default_queue is not None:
                self.default_queue = check_queue(default_queue)
            if url is not None:
                self._url = url
            if imports is not None:
                self.imports = tuple(imports)
            if retry is not None:
                self.retry_policy = retry
            if middleware is not None:
                self.middleware = tuple(middleware)

    # ── declaring ────────────────────────────────────────────────────────────────────────────────────────

    @overload
    def task(self, function: Callable[Concatenate[Context, P], R], /) -> Task[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(self, name: str | None = None, /, **options: Unpack[TaskOptions]) -> TaskDecorator: ...
    def task(self, function_or_name: Any = None, /, **options: Any) -> Any:
        """Declares a task: `@app.task`, `@app.task("shop.welcome")`, `@app.task(queue="mail", time_limit=...)`.

        The name defaults to `module.qualname`. A leading parameter annotated `cloudq.Context` is filled in by the
        worker and hidden from callers.

        Raises:
            TaskDefinitionError: The name is taken, the signature can't be called by name, or an option is wrong.
            OptionError: The queue's name isn't one.
        """
        given: TaskOptions = options  # type: ignore[assignment]  # the overload gives them their types
        if callable(function_or_name):
            return self._declare(function_or_name, None, given)
        if function_or_name is not None and not isinstance(function_or_name, str):
            raise TaskDefinitionError(f"a task is declared from a function or a name, not {function_or_name!r}")
        return lambda function: self._declare(function, function_or_name, given)

    def _declare(self, function: Callable[..., Any], name: str | None, options: TaskOptions) -> Task[..., Any]:
        definition = Definition(self, function, name, options)
        with self._lock:
            for known in (definition.name, *definition.aliases):
                other = self._definitions.get(known)
                # The same place again is the same declaration: a module that was reloaded, or a script that was
                # run and is imported under its own name as well.
                if other is not None and other.place != definition.place:
                    raise TaskDefinitionError(
                        f"the task name {known!r} is declared twice: at {other.place} and at {definition.place}",
                        hint='give one of them another name: @cloudq.task("shop.welcome")',
                    )
            task: Task[..., Any] = Task(definition)
            self._tasks[definition.name] = task
            for known in (definition.name, *definition.aliases):
                self._definitions[known] = definition
        return task

    @property
    def tasks(self) -> Mapping[str, Task[..., Any]]:
        """The declared tasks by name, aliases left out."""
        return MappingProxyType(self._tasks)

    @property
    def handlers(self) -> Mapping[str, Definition]:
        """The declared tasks by name and alias, as a Processor takes them."""
        return MappingProxyType(self._definitions)

    def declared_queues(self) -> list[str]:
        """The queues that the tasks declare, in the order of the tasks."""
        return list(dict.fromkeys(task.queue for task in self._tasks.values()))

    def load(self) -> None:
        """Imports the modules of `imports` and resolves every task's types: what can fail at start does.

        Raises:
            ConfigurationError: A module can't be imported.
            TaskDefinitionError: A type can't travel as JSON.
        """
        for module in self.imports:
            try:
                import_module(module)
            except CloudqError:
                raise  # a task's declaration, say: it explains itself
            except Exception as error:
                what = f"{type(error).__name__}: {error}"
                raise ConfigurationError(f"imports names {module!r}, which can't be imported: {what}") from error
        for definition in list(self._definitions.values()):
            definition.parameters.check_types()

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────

    def send(
        self,
        task: Task[..., Any] | str | Call,
        payload: Mapping[str, object] = _NO_PAYLOAD,
        /,
        **options: Unpack[SendOptions],
    ) -> Sent:
        """Stores a message that makes a worker run a task. Returns only when it is stored.

        Args:
            task: A task, its name (which needn't be declared in this program), or a `Call`.
            payload: The task's arguments by name. With a `Call`: none, it has its own.
            **options: See `SendOptions`.

        Raises:
            PayloadError: The payload doesn't fit the task's parameters, or isn't JSON. Nothing was stored.
            OptionError: An option isn't valid. Nothing was stored.
            UnsupportedError: The queue can't do what an option asks for. Nothing was stored.
            MessageTooLarge: Nothing was stored.
            BackendError: It may not be stored.
        """
        message = self._message(task, payload, options)
        if self._eager:
            return self._run_eagerly(message)
        self._warn_on_a_loop("send")
        return _sent(message, self.queue(message.queue).send(message))

    async def asend(
        self,
        task: Task[..., Any] | str | Call,
        payload: Mapping[str, object] = _NO_PAYLOAD,
        /,
        **options: Unpack[SendOptions],
    ) -> Sent:
        """As `send`, for async code: the loop is never blocked. Cancelling it doesn't unsend."""
        import asyncio

        message = self._message(task, payload, options)
        if self._eager:
            return await self._arun_eagerly(message)
        if self._backend is None or self._backend.pid != os.getpid():
            await asyncio.to_thread(self.driver)  # opening reads and writes files
        return _sent(message, _raised(await asyncio.wrap_future(self.queue(message.queue).submit(message))))

    def send_many(self, calls: Iterable[Call], /) -> list[Sent]:
        """Stores many calls with few calls of the backend. Tries all of them.

        Args:
            calls: What `task.call(...)` gives.

        Returns:
            One `Sent` for each, in order.

        Raises:
            SendManyError: Some were not stored. `.results` has a `Sent` or an error for each, in order; `.failed`
                the calls to send again.
        """
        calls = list(calls)
        for call in calls:
            if not isinstance(call, Call):
                raise OptionError(f"send_many takes calls, not {call!r}", hint="task.call(...)")
        messages = [self._message(call, _NO_PAYLOAD, SendOptions()) for call in calls]
        results: list[Sent | Exception] = [Sent(id="")] * len(calls)
        if self._eager:
            for index, message in enumerate(messages):
                results[index] = self._run_eagerly(message)
        else:
            self._warn_on_a_loop("send_many")
            for name, indexes in _by_queue(messages).items():
                stored = self._stored(name, [messages[index] for index in indexes])
                for index, result in zip(indexes, stored, strict=True):
                    results[index] = result.error or _sent(messages[index], result)
        failed = [call for call, result in zip(calls, results, strict=True) if not isinstance(result, Sent)]
        if failed:
            raise SendManyError(results, failed)
        return [result for result in results if isinstance(result, Sent)]

    async def asend_many(self, calls: Iterable[Call], /) -> list[Sent]:
        """As `send_many`, for async code: the loop is never blocked. Cancelling it doesn't unsend."""
        import asyncio

        return await asyncio.to_thread(self.send_many, list(calls))

    # ── the backend ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def url(self) -> str:
        """The URL in force: the app's own, else `CLOUDQ_URL`, else a file in the current folder.

        Raises:
            ConfigurationError: None is set where a local file would be lost.
        """
        return backend_url(self._url)

    def queue(self, name: str) -> CloudQueue:
        """The handle of a queue: stats, purge, dead letters. The same for the same name.

        Raises:
            OptionError: `name` is no name of a queue.
            ConfigurationError: The URL can't be used.
            BackendError: The backend can't be opened.
        """
        backend = self._opened()
        queue = backend.queues.get(name)
        if queue is None:
            check_queue_name(name)
            # Another thread may do the same; setdefault lets one of them win, so that all share its Batcher.
            queue = backend.queues.setdefault(name, CloudQueue(name, backend.driver, clock=backend.clock))
        return queue

    @property
    def is_open(self) -> bool:
        """Whether a backend is in use in this process already."""
        backend = self._backend
        return backend is not None and backend.pid == os.getpid()

    def driver(self) -> Driver:
        """The backend's driver, opened at the first use. For edges and tools.

        Raises:
            ConfigurationError: The URL can't be used.
            BackendError: The backend can't be opened.
        """
        return self._opened().driver

    def close(self) -> None:
        """Closes the backend, if it is open. The next use opens it again. A driver given by `using` stays."""
        with self._lock:
            backend = self._backend
            if backend is None or backend.lent:
                return
            self._backend = None
        if backend.pid == os.getpid():
            backend.driver.close()

    @contextmanager
    def using(self, driver: Driver, *, clock: Clock = SYSTEM_CLOCK) -> Iterator[App]:
        """This app on another driver within the block: for tests and for programs that open drivers themselves.

        The driver isn't closed at the end.
        """
        with self._lock:
            before, clock_before = self._backend, self.clock
            self._backend, self.clock = _Backend(driver, clock, lent=True), clock
        try:
            yield self
        finally:
            with self._lock:
                self._backend, self.clock = before, clock_before

    def eager(self) -> AbstractContextManager[App]:
        """Within the block every send runs its task at once, here, and raises what it raises: for tests.

        The message still goes through the wire format and the middleware. Delays, queues and retries don't apply.
        """
        return self._eagerly()

    @contextmanager
    def _eagerly(self) -> Iterator[App]:
        with self._lock:
            self._eager += 1
        try:
            yield self
        finally:
            with self._lock:
                self._eager -= 1

    def _run_eagerly(self, message: Message) -> Sent:
        from cloudq.eager import run

        run(self, message)
        return Sent(id=message.id, duplicate=False)

    async def _arun_eagerly(self, message: Message) -> Sent:
        from cloudq.eager import arun

        await arun(self, message)
        return Sent(id=message.id, duplicate=False)

    def _opened(self) -> _Backend:
        backend = self._backend
        if backend is not None and backend.pid == os.getpid():
            return backend
        with self._lock:
            backend = self._backend
            if backend is not None and backend.pid != os.getpid():
                if backend.lent:
                    # Opening the app's own URL instead would send a test's messages to where it never wanted them.
                    raise ConfigurationError(
                        "the app works with a driver that it was given before this process was forked",
                        hint="fork before App.using() or in_memory(), or give the child's app a driver of its own",
                    )
                _inherited.append(backend)
                backend = None
            if backend is None:
                url = self.url
                backend = self._backend = _Backend(open_driver(url, self.clock), self.clock, lent=False)
                if self._url is None and not os.environ.get(URL_VARIABLE):
                    logger.warning("CLOUDQ_URL is not set: tasks are kept in %s", parse_url(url))
            return backend

    # ── from arguments to a message ──────────────────────────────────────────────────────────────────────

    def _message(
        self, task: Task[..., Any] | str | Call, payload: Mapping[str, object], options: SendOptions
    ) -> Message:
        if isinstance(task, Call):
            if payload is not _NO_PAYLOAD:
                raise PayloadError("a Call has its payload already", hint="send the task instead, or the call alone")
            if options:
                task = Call(task=task.task, payload=task.payload, options=_merged(task.options, options))
            return self._message_of(task)
        if isinstance(task, str):
            declared = self._definitions.get(task)
            if declared is None:
                return self._undeclared(task, payload, options)
            task = Task(declared)
        if not isinstance(task, Task):
            raise OptionError(f"{task!r} is no task", hint="decorate the function with @cloudq.task")
        return self._message_of(task.call_with(payload, options))

    def _message_of(self, call: Call) -> Message:
        if call.task.app is not self:
            raise OptionError(
                f"task {call.task.name!r} belongs to another App",
                hint="send it by that App, or by name: app.send('...')",
            )
        queue = call.options.get("queue") or call.task.queue
        return self._built(call.task.name, queue, call.payload, call.options)

    def _undeclared(self, name: str, payload: Mapping[str, object], options: SendOptions) -> Message:
        """A message for a task that lives in another program: its parameters can't be checked here."""
        if not name or not name.isprintable():
            raise OptionError(f"{name!r} is no name of a task")
        check_send_options(options)
        return self._built(name, options.get("queue") or self.default_queue, to_json(payload, name), options)

    def _built(self, name: str, queue: str, payload: Mapping[str, object], options: SendOptions) -> Message:
        now = self.clock.now()
        return Message(
            id=str(uuid4()),
            task=name,
            queue=queue,
            payload=payload,
            sent_at=now,
            not_before=_due(now, options),
            idempotency_key=options.get("idempotency_key"),
            ordering_key=options.get("ordering_key"),
            fairness_key=options.get("fairness_key"),
            headers=dict(options.get("headers", {})),
        )

    def _stored(self, queue: str, messages: Sequence[Message]) -> Sequence[SendResult]:
        """Tries all; a queue that can't be had at all fails its own messages only."""
        try:
            return self.queue(queue).send_all(messages)
        except Exception as error:  # noqa: BLE001 - reported for each call: the failure of some never hides the others
            return [SendResult(error=error)] * len(messages)

    def _warn_on_a_loop(self, method: str) -> None:
        # asyncio isn't loaded for this: where it isn't, no loop runs.
        asyncio = sys.modules.get("asyncio")
        if self._warned or asyncio is None or asyncio._get_running_loop() is None:
            return
        self._warned = True
        warnings.warn(
            f"{method}() blocks the running event loop while the message is stored; use `await a{method}(...)`",
            RuntimeWarning,
            stacklevel=_callers_level(),
        )


def _callers_level() -> int:
    """The stack level, for a warning, of whoever called cloudq."""
    level = 1
    while sys._getframe(level).f_globals.get("__name__", "").startswith("cloudq."):
        level += 1
    return level


def _sent(message: Message, result: SendResult) -> Sent:
    return Sent(id=result.original_id or message.id, duplicate=result.duplicate)


def _due(now: datetime, options: SendOptions) -> datetime | None:
    delay, at = options.get("delay"), options.get("at")
    try:
        if delay:
            return now + delay
        return None if at is None else at.astimezone(UTC)
    except OverflowError as error:
        raise OptionError(f"{delay or at} is beyond the year 9999, or before the year 1") from error


def _raised(result: SendResult) -> SendResult:
    if result.error is not None:
        raise result.error
    return result


def _by_queue(messages: Sequence[Message]) -> dict[str, list[int]]:
    indexes: dict[str, list[int]] = {}
    for index, message in enumerate(messages):
        indexes.setdefault(message.queue, []).append(index)
    return indexes


def _merged(before: SendOptions, options: SendOptions) -> SendOptions:
    merged: SendOptions = {**before, **options}
    check_send_options(merged)
    return merged
