"""`App`: the tasks of one program and the backend that keeps their messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar, Unpack, overload
from weakref import WeakSet

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.driver import Driver
from cloudq.core.due_times import LONGEST_DELAY
from cloudq.core.message import Message
from cloudq.core.middleware import Middleware
from cloudq.core.policy import RetryPolicy
from cloudq.core.redaction import Redact, mask_secrets
from cloudq.core.shield import shielded
from cloudq.core.unknown import UNKNOWN_TASK_PATIENCE
from cloudq.errors import ConfigurationError, TaskDefinitionError
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.connection import Connection
from cloudq.queues.names import check_queue
from cloudq.tasks import foreign_words
from cloudq.tasks.async_libraries import check_awaitable, in_a_thread, in_trio
from cloudq.tasks.composing import NO_PAYLOAD, checked_calls, composed
from cloudq.tasks.context import Context
from cloudq.tasks.eager import EagerMode, EagerRun
from cloudq.tasks.loop_warning import LoopWarning
from cloudq.tasks.options import AppSettings, SendOptions, TaskOptions, checked_app_settings
from cloudq.tasks.receipts import read_receipt
from cloudq.tasks.registry import Registry
from cloudq.tasks.runtime import AppRuntime
from cloudq.tasks.sending import SendManyError, ran, send_all, sent
from cloudq.tasks.sent import Sent
from cloudq.tasks.task import Call, Task, TaskDecorator
from cloudq.tasks.typo_warning import TypoWarning

P = ParamSpec("P")
R = TypeVar("R")


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
        **settings: See `AppSettings`.

    Attributes:
        runtime: What edges and tools work with; see `AppRuntime`.

    Raises:
        ConfigurationError: A value isn't of its type.
        OptionError: `default_queue` is no name of a queue.
    """

    def __init__(self, url: str | None = None, **settings: Unpack[AppSettings]) -> None:
        self._connection, self._registry = Connection(), Registry()
        self.runtime = AppRuntime(self._registry, self._connection)
        self._eager, self._loop_warning, self._typo_warning = EagerMode(), LoopWarning(), TypoWarning()
        self.imports: tuple[str, ...] = ()
        self.retry_policy = RetryPolicy()
        self.middleware: tuple[Middleware[Context], ...] = ()
        self.default_queue, self.convert_untyped = "default", False
        self.strict_queues: bool | None = None
        self.unknown_task_patience, self.longest_delay = UNKNOWN_TASK_PATIENCE, LONGEST_DELAY
        self.redact: Redact = mask_secrets
        self.configure(url, **settings)
        living_apps.add(self)

    def __repr__(self) -> str:
        """How many tasks it has; no URL, which the environment may decide."""
        return f"App({len(self._registry.tasks)} tasks)"

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError, which names our word if other task queues have one of that name."""
            raise foreign_words.no_attribute(self, name, foreign_words.APP)

    def configure(self, url: str | None = None, **settings: Unpack[AppSettings]) -> None:
        """Sets what is given, as the constructor does; what is left out stays.

        Raises:
            ConfigurationError: The backend is open already, so a change would come too late; or a value isn't of its
                type.
            OptionError: `default_queue` is no name of a queue.
        """
        if self._connection.is_open:
            raise ConfigurationError(
                "the app's backend is open already: this change would come too late",
                hint="configure before the first send",
            )
        given = checked_app_settings(url, settings)
        self._connection.given = self._connection.given if url is None else url
        self._connection.given_claim_check = settings.get("claim_check") or self._connection.given_claim_check
        self._connection.signing.set(settings.get("signing"), settings.get("signing_keys"))
        self.default_queue = check_queue(given.get("default_queue", self.default_queue))
        self.imports = tuple(settings.get("imports") or ()) if "imports" in given else self.imports
        self.retry_policy = settings.get("retry") or self.retry_policy
        self.redact = settings.get("redact") or self.redact
        self.middleware = tuple(settings.get("middleware") or ()) if "middleware" in given else self.middleware
        self.convert_untyped = bool(given.get("convert_untyped", self.convert_untyped))
        self.unknown_task_patience = given.get("unknown_task_patience", self.unknown_task_patience)
        self.longest_delay = given.get("longest_delay", self.longest_delay)
        self.strict_queues = self.strict_queues if (strict := settings.get("strict_queues")) is None else strict

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
            return self._registry.declare(self, function_or_name, None, given)
        if function_or_name is not None and not isinstance(function_or_name, str):
            raise TaskDefinitionError(
                f"a task is declared from a function or a name, not {function_or_name!r}", hint="@app.task, above a def"
            )
        return lambda function: self._registry.declare(self, function, function_or_name, given)

    @property
    def tasks(self) -> Mapping[str, Task[..., Any]]:
        """The declared tasks by name, aliases left out."""
        return self._registry.tasks

    def load(self) -> None:
        """Imports the modules of `imports` and resolves every task's types: what can fail at start does.

        Raises:
            ConfigurationError: A module can't be imported.
            TaskDefinitionError: A type can't travel as JSON.
        """
        self._registry.load(self.imports)

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────

    def send(
        self,
        task: Task[..., Any] | str | Call,
        payload: Mapping[str, object] = NO_PAYLOAD,
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
            self._eager_run(message).run()
            return ran(message)
        self._loop_warning.look("send")
        return sent(message, self._connection.queue(message.queue).send(message))

    async def asend(
        self,
        task: Task[..., Any] | str | Call,
        payload: Mapping[str, object] = NO_PAYLOAD,
        /,
        **options: Unpack[SendOptions],
    ) -> Sent:
        """As `send`, for async code on asyncio or trio: the loop is never blocked. Cancelling it doesn't unsend.

        Raises:
            UnsupportedError: Another async library runs. Nothing was stored.
        """
        check_awaitable("asend")
        message = self._message(task, payload, options)
        if self._eager:
            await self._eager_run(message).arun()
            return ran(message)
        if not self.is_open:
            await in_a_thread(self.driver)  # opening reads and writes files
        future = self.queue(message.queue).submit(message)
        if in_trio():
            return sent(message, await in_a_thread(future.result))
        import asyncio

        return sent(message, await asyncio.wrap_future(future))

    @shielded
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
        calls = checked_calls(calls)
        messages = [self._message(call, NO_PAYLOAD, SendOptions()) for call in calls]
        if self._eager:
            for message in messages:
                self._eager_run(message).run()
            return [ran(message) for message in messages]
        self._loop_warning.look("send_many")
        results = send_all(messages, self.queue)
        failed = [call for call, result in zip(calls, results, strict=True) if not isinstance(result, Sent)]
        if failed:
            raise SendManyError(results, failed)
        return [result for result in results if isinstance(result, Sent)]

    async def asend_many(self, calls: Iterable[Call], /) -> list[Sent]:
        """As `send_many`, for async code on asyncio or trio: the loop is never blocked. Cancelling doesn't unsend."""
        check_awaitable("asend_many")
        return await in_a_thread(self.send_many, list(calls))

    def cancel(self, sent: Sent | str, /) -> bool:
        """Deletes the message of a send, or of its stored `receipt`, if no worker was handed it yet.

        `True`: it will not run. `False`: it is too late, as it is under way, or gone: done, dead, copied for a retry,
        cancelled before. Either way its idempotency key stays taken.

        Raises:
            UnsupportedError: It has no receipt, or its queue can't cancel. Nothing was changed.
            OptionError: It isn't a receipt, or one of another backend. Nothing was changed.
            BackendError: It may be cancelled or not.
        """
        receipt = read_receipt(sent)
        if self._eager:
            return False  # it ran when it was sent
        self._loop_warning.look("cancel")
        return self.queue(receipt.queue).cancel(receipt.native)

    async def acancel(self, sent: Sent | str, /) -> bool:
        """As `cancel`, for async code on asyncio or trio: the loop is never blocked."""
        check_awaitable("acancel")
        return await in_a_thread(self.cancel, sent)

    # ── the backend ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def url(self) -> str:
        """The URL in force: the app's own, else `CLOUDQ_URL`, else a file in the current folder.

        Raises:
            ConfigurationError: None is set where a local file would be lost.
        """
        return self._connection.url

    @property
    def clock(self) -> Clock:
        """Where the time comes from: the machine's clock, or the one given with `using`."""
        return self._connection.clock

    def queue(self, name: str) -> CloudQueue:
        """The handle of a queue: stats, purge, dead letters. The same for the same name.

        Raises:
            OptionError: `name` is no name of a queue.
            ConfigurationError: The URL can't be used.
            BackendError: The backend can't be opened.
        """
        return self._connection.queue(name)

    @property
    def is_open(self) -> bool:
        """Whether a backend is in use in this process already."""
        return self._connection.is_open

    def driver(self) -> Driver:
        """The backend's driver, opened at the first use. For edges and tools.

        Raises:
            ConfigurationError: The URL can't be used.
            BackendError: The backend can't be opened.
        """
        return self._connection.driver

    def close(self) -> None:
        """Closes the backend, if it is open. The next use opens it again. A driver given by `using` stays."""
        self._connection.close()

    @contextmanager
    def using(self, driver: Driver, *, clock: Clock = SYSTEM_CLOCK, claim_check: str | None = None) -> Iterator[App]:
        """This app on another driver within the block: for tests and for programs that open drivers themselves.

        The driver isn't closed at the end. `claim_check` names a store for the block, in place of the app's own.
        """
        with self._connection.lend(driver, clock, claim_check):
            yield self

    @contextmanager
    def eager(self) -> Iterator[App]:
        """Within the block every send runs its task at once, here, and raises what it raises: for tests.

        The message still goes through the wire format and the middleware. Delays, queues and retries don't apply.
        """
        with self._eager:
            yield self

    def _eager_run(self, message: Message) -> EagerRun:
        return EagerRun(message, self._registry.definitions, self.middleware, self.clock, self.runtime.signing)

    def _message(
        self, task: Task[..., Any] | str | Call, payload: Mapping[str, object], options: SendOptions
    ) -> Message:
        declared = self._registry.definitions
        message = composed(self, declared, task, payload, options)
        if message.task not in declared and not self._eager:
            self._typo_warning.look(message.task, declared)
        return message


living_apps: Final[WeakSet[App]] = WeakSet()
"""Every App of this process that somebody still has: the fixture of tests looks for the one under test."""
