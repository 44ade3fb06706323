"""`App`: the tasks of one program and the backend that keeps their messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar, Unpack, overload
from weakref import WeakSet

from cloudq.app.pausing import Pausing
from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.driver import Driver
from cloudq.core.observing import Observer
from cloudq.core.store import Store
from cloudq.errors import TaskDefinitionError
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.tasks import foreign_words
from cloudq.tasks.app_settings import AppSettings
from cloudq.tasks.context import Context
from cloudq.tasks.options import TaskOptions
from cloudq.tasks.task import Task, TaskDecorator

if TYPE_CHECKING:
    from cloudq.app.outbox import Outbox
    from cloudq.tasks.hooks import DeadHook, Hook
    from cloudq.tasks.resolving import Resolver

P = ParamSpec("P")
R = TypeVar("R")
HookT = TypeVar("HookT", bound="Hook")
DeadHookT = TypeVar("DeadHookT", bound="DeadHook")


class App(Pausing):
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
        super().__init__()
        self.configure(url, **settings)
        living_apps.add(self)

    def __repr__(self) -> str:
        """How many tasks it has; no URL, which the environment may decide."""
        return f"App({len(self._registry.tasks)} tasks)"

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError, which names our word if other task queues have one of that name."""
            raise foreign_words.no_attribute(self, name, foreign_words.APP)

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

    def resolve_tasks(self, resolver: Resolver) -> None:
        """Has a resolver say which task a name means that isn't declared: for tasks that another library declares.

        It is asked the first time that a name is met, at a send or in a message; what it gives is kept. To be called
        before a worker, or another edge, of the app is made.

        Args:
            resolver: See `cloudq.tasks.resolving.Resolver`. It takes the place of the one before.
        """
        self._registry.resolve_by(resolver)

    def on_start(self, function: HookT, /) -> HookT:
        """Declares a plain function that is called once in each process that runs tasks, before the first of them.

        In the order of their declarations. A worker, a push endpoint or a function of a host doesn't start where one
        raises; with `--processes` it is each child that calls them. `eager()` and `run_all` call none of them.

        Raises:
            ConfigurationError: It isn't a plain function.
        """
        self.hooks.on_start(function)
        return function

    def on_stop(self, function: HookT, /) -> HookT:
        """Declares a plain function that is called once in each process after its last task, the latest declared first.

        What it raises is logged. Not called where a process is killed, nor in AWS Lambda, Azure Functions or under
        WSGI, whose hosts don't say when they end. A child process has two seconds for it.

        Raises:
            ConfigurationError: It isn't a plain function.
        """
        self.hooks.on_stop(function)
        return function

    def on_dead(self, function: DeadHookT, /) -> DeadHookT:
        """Declares a plain function that is called with a `DeadDelivery` for each message that is dead-lettered.

        It is called where that is decided, in the thread or on the loop that ran the task, before the dead letter is
        stored: keep it short, and expect a message twice where a process dies in between. What it raises is logged.
        With child processes, the parent calls it for a task that ran nowhere, or whose process died, and calls no
        `on_start`.
        Of what the backend dead-letters by itself nobody learns.

        Raises:
            ConfigurationError: It isn't a plain function.
        """
        self.hooks.on_dead(function)
        return function

    def load(self) -> None:
        """Imports the modules of `imports` and resolves every task's types: what can fail at start does.

        Raises:
            ConfigurationError: A module can't be imported.
            TaskDefinitionError: A type can't travel as JSON.
        """
        self._registry.load(self.imports)

    def outbox(self, connection: object = None, *, using: str | None = None) -> Outbox:
        """Sends that the transaction of your own database takes along: published once it is committed, else never.

        Args:
            connection: A connection with a transaction that you commit: a `Connection` or `Session` of SQLAlchemy's, or
                an async one of these; a connection of psycopg, pymysql or sqlite3.
            using: In its place, the alias of a database of Django's, within `transaction.atomic()`.

        Raises:
            TransactionRefused: It is no connection that is known here.
        """
        from cloudq.app.outbox import Outbox, Sends
        from cloudq.user_database import opened

        sends = Sends(self._message_for_later, self.runtime.outbox_row, self._eager, self._eager_run)
        return Outbox(sends, opened(connection, using=using), self.outbox_namespace)

    # ── the backend ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def url(self) -> str:
        """The URL in force: the app's own, else `CLOUDQ_URL`, else a file in the current folder.

        Raises:
            ConfigurationError: None is set where a local file would be lost.
        """
        return self._connection.url

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

    def observe(self, observer: Observer) -> None:
        """Has an observer learn what happens from now on, beside those that do already.

        To be called before a worker, or another edge, of the app is made: those take along the observers of that time.

        Args:
            observer: Overrides what it wants to be told; see `cloudq.core.observing.Observer`.
        """
        self._connection.observe(observer)

    def close(self) -> None:
        """Closes the backend, the store, and the dependencies of the process; the next use opens them again.

        What `using` lent stays open. For programs that end: no task of the app runs in this process any more.
        """
        self.dependencies.close()
        self._connection.close()
        self._stores.close()

    @contextmanager
    def using(
        self,
        driver: Driver,
        *,
        clock: Clock = SYSTEM_CLOCK,
        claim_check: str | None = None,
        store: Store | None = None,
    ) -> Iterator[App]:
        """This app on another driver within the block: for tests and for programs that open drivers themselves.

        The driver isn't closed at the end, nor is the store.

        Args:
            driver: In place of the app's own.
            clock: Where the time comes from.
            claim_check: The URL of a store of large payloads, in place of the app's own.
            store: Where idempotency keys are claimed, in place of the app's own.
        """
        with ExitStack() as lent:
            lent.enter_context(self._connection.lend(driver, clock, claim_check))
            if store is not None:
                lent.enter_context(self._stores.lend(store))
            yield self

    @contextmanager
    def eager(self) -> Iterator[App]:
        """Within the block every send runs its task at once, here, and raises what it raises: for tests.

        The message still goes through the wire format and the middleware. Delays, queues and retries don't apply.
        """
        with self._eager:
            yield self

    @contextmanager
    def overriding(self, dependencies: Mapping[Callable[..., Any], Callable[..., Any]], /) -> Iterator[App]:
        """Within the block other functions are called in place of the tasks' dependencies: for tests.

        Example:
            ```python
            with app.overriding({get_session: lambda: test_session}):
                welcome(user_id=42)
            ```

        Dependencies of the process are made anew within the block, and closed at its end. A run keeps what was in
        force when it began.

        Args:
            dependencies: What to call, by the function that is named in `Depends`. Each may have dependencies itself.

        Raises:
            ConfigurationError: One of them is no function.
        """
        with self.dependencies.overriding(dependencies):
            yield self


living_apps: Final[WeakSet[App]] = WeakSet()
"""Every App of this process that somebody still has: the fixture of tests looks for the one under test."""
