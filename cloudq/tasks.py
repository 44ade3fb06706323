"""`Task` and `Call`: a declared function that can be sent."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar, Unpack

import msgspec

from cloudq.binding import Parameters
from cloudq.context import Context, maybe_current, running
from cloudq.core.message import Message
from cloudq.core.policy import RetryPolicy
from cloudq.errors import OptionError, TaskDefinitionError
from cloudq.options import Key, SendOptions, TaskOptions, check_queue, check_send_options, check_template, key_for

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.core.delivery import Delivery

P = ParamSpec("P")
R = TypeVar("R")

# The running script, in its own process and in those that multiprocessing starts.
_MAIN: Final = ("__main__", "__mp_main__")


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is stored.

    Attributes:
        id: The message's id; for a duplicate, the id of the message that was stored first, where the backend says.
        duplicate: Whether the idempotency key was known already, so that nothing new was stored; `None` where the
            backend doesn't say.
    """

    id: str
    duplicate: bool | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A validated, unsent call: for `send` and `send_many`.

    Attributes:
        task: The task to run.
        payload: Its arguments as JSON values.
        options: How it is to be sent.
    """

    task: Task[..., Any]
    payload: Mapping[str, object]
    options: SendOptions

    def __repr__(self) -> str:
        """The task's name; not the payload, which may hold what no log should."""
        return f"Call(task={self.task.name!r})"


class Definition:
    """What a declaration fixed: shared by a Task and its `options()` variants. A `Handler` for the Processor."""

    def __init__(self, app: App, function: Callable[..., Any], name: str | None, options: TaskOptions) -> None:
        _check_function(function)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TaskDefinitionError(
                f"{function.__qualname__} is a generator, which nothing would run", hint="use def"
            )
        self.app = app
        self.function = function
        self.name = name if name is not None else default_name(function)
        if not self.name or not self.name.isprintable():
            raise TaskDefinitionError(f"{self.name!r} is no name for a task")
        self.place = _place(function)
        self.is_async = inspect.iscoroutinefunction(function)
        self.parameters = Parameters(function, self.name)
        self._set(options)

    def _set(self, options: TaskOptions) -> None:
        for option in options:
            if option not in TaskOptions.__annotations__:
                hint = "known: " + ", ".join(TaskOptions.__annotations__)
                if option == "name":
                    hint = 'the name goes first: @cloudq.task("shop.welcome")'
                raise TaskDefinitionError(f"there is no task option {option!r}", hint=hint)
        aliases = options.get("aliases", ())
        if (
            isinstance(aliases, str)
            or not isinstance(aliases, Iterable)
            or not all(isinstance(alias, str) and alias and alias.isprintable() for alias in aliases)
        ):
            raise TaskDefinitionError(f"aliases of task {self.name!r} are a list of names, not {aliases!r}")
        self.aliases: tuple[str, ...] = tuple(aliases)
        self.own_queue: str | None = check_queue(options["queue"]) if "queue" in options else None
        self.own_retry: RetryPolicy | None = options.get("retry")
        if self.own_retry is not None and not isinstance(self.own_retry, RetryPolicy):
            raise TaskDefinitionError(
                f"retry of task {self.name!r} is a RetryPolicy, not {self.own_retry!r}",
                hint="retry=cloudq.RetryPolicy(stop=tenacity.stop_after_attempt(8))",
            )
        self.lease: timedelta | None = self._duration("lease", options.get("lease"))
        self.time_limit: timedelta | None = self._duration("time_limit", options.get("time_limit"))
        self.keys: dict[str, Key] = {}
        for option in ("idempotency_key", "ordering_key"):
            key: Key | None = options.get(option)  # type: ignore[assignment]  # both are of type Key
            if key is not None:
                check_template(option, key, self.parameters.names, self.name)
                self.keys[option] = key

    def _duration(self, option: str, value: object) -> timedelta | None:
        if value is None:
            return None
        if not isinstance(value, timedelta) or value <= timedelta(0):
            raise TaskDefinitionError(
                f"{option} of task {self.name!r} is a positive timedelta, not {value!r}",
                hint=f"{option}=timedelta(minutes=5)",
            )
        return value

    @property
    def retry_policy(self) -> RetryPolicy:
        """The task's own policy, or its app's."""
        return self.own_retry or self.app.retry_policy

    @property
    def queue(self) -> str:
        """The task's own queue, or its app's default."""
        return self.own_queue or self.app.default_queue

    def keys_for(self, payload: Mapping[str, object], given: SendOptions) -> dict[str, str]:
        """The idempotency and ordering key that the declaration gives this payload, where the send gives none."""
        wanted = {option: key for option, key in self.keys.items() if option not in given}
        if not wanted:
            return {}
        arguments = self.parameters.with_defaults(self.parameters.arguments(payload))
        return {option: key_for(option, key, arguments) for option, key in wanted.items()}

    def bind(self, delivery: Delivery, message: Message, *, deadline: datetime | None, lease_lost: Event) -> TaskJob:
        """The run of this task for a delivery.

        Raises:
            PayloadError: The payload doesn't fit the parameters.
        """
        context = Context(
            message,
            attempt=delivery.attempt,
            deliveries=delivery.deliveries,
            deadline=deadline,
            lease_lost=lease_lost,
            raw=delivery.raw,
            clock=self.app.clock,
        )
        return TaskJob(self, context, self.parameters.arguments(message.payload))


class TaskJob:
    """One run of a task: its function, context and arguments."""

    __slots__ = ("_arguments", "_definition", "context")

    def __init__(self, definition: Definition, context: Context, arguments: dict[str, object]) -> None:
        self.context = context
        self._definition = definition
        self._arguments = arguments

    def run(self) -> object:
        """Calls a sync function."""
        with running(self.context):
            result = self._called()
        if inspect.iscoroutine(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
            # A decorator hid what the function is. Its code hasn't run, so this must not count as done.
            if not inspect.isasyncgen(result):
                result.close()
            raise TypeError(
                f"task {self._definition.name!r} returned a {type(result).__name__}, whose code nothing would run: "
                "a decorator of an async def must be an async def itself"
            )
        return result

    async def arun(self) -> object:
        """Calls and awaits an async function."""
        with running(self.context):
            return await self._called()

    def _called(self) -> Any:
        args, kwargs = self._definition.parameters.call(self._arguments)
        if self._definition.parameters.takes_context:
            return self._definition.function(self.context, *args, **kwargs)
        return self._definition.function(*args, **kwargs)


class Task(Generic[P, R]):
    """A declared task. Call it like the function it is, or send it.

    Example:
        ```python
        import cloudq

        @cloudq.task
        def welcome(user_id: int) -> None:
            print("welcome", user_id)

        welcome(user_id=42)       # runs here and now
        # welcome.send(user_id=42)  stores a message; a worker runs it
        ```
    """

    def __init__(self, definition: Definition, options: SendOptions | None = None) -> None:
        self._definition = definition
        self._options: SendOptions = options or {}
        self.__doc__ = definition.function.__doc__
        self.__wrapped__ = definition.function

    def __repr__(self) -> str:
        """The name."""
        return f"Task({self.name!r})"

    @property
    def name(self) -> str:
        """The name that messages carry."""
        return self._definition.name

    @property
    def app(self) -> App:
        """The app that it belongs to."""
        return self._definition.app

    @property
    def queue(self) -> str:
        """Where its messages go unless a send says otherwise."""
        return self._definition.queue

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs the function here and now. A leading Context is filled in: the running task's, or an empty one."""
        definition = self._definition
        if not definition.parameters.takes_context:
            return definition.function(*args, **kwargs)  # type: ignore[no-any-return]  # R is the function's own type
        context = maybe_current() or Context(
            Message(id="direct-call", task=self.name, queue=self.queue), clock=self.app.clock
        )
        return definition.function(context, *args, **kwargs)  # type: ignore[no-any-return]  # as above

    def send(self, *args: P.args, **kwargs: P.kwargs) -> Sent:
        """Stores a message that makes a worker run the task. Returns only when it is stored.

        Raises:
            PayloadError: The arguments don't fit the parameters. Nothing was stored.
            OptionError: An option, or the key made from the arguments, isn't valid. Nothing was stored.
            UnsupportedError: The queue can't do what an option asks for. Nothing was stored.
            MessageTooLarge: Nothing was stored.
            BackendError: It may not be stored.
        """
        return self.app.send(self.call(*args, **kwargs))

    async def asend(self, *args: P.args, **kwargs: P.kwargs) -> Sent:
        """As `send`, for async code. Cancelling it doesn't unsend."""
        return await self.app.asend(self.call(*args, **kwargs))

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """A validated call, to be sent later or together with others.

        Raises:
            PayloadError: The arguments don't fit the parameters.
            OptionError: The key made from the arguments isn't valid.
        """
        return self.call_with(self._definition.parameters.values(args, kwargs), {})

    def options(self, **options: Unpack[SendOptions]) -> Task[P, R]:
        """The same task, sent with these options: `welcome.options(delay=timedelta(hours=1)).send(user_id=42)`.

        Raises:
            OptionError: An option isn't valid.
        """
        if "delay" in options and "at" in self._options:
            raise OptionError("delay and at exclude each other: at was given before", hint="give one of them")
        if "at" in options and "delay" in self._options:
            raise OptionError("delay and at exclude each other: delay was given before", hint="give one of them")
        check_send_options(options)
        return Task(self._definition, {**self._options, **options})

    def call_with(self, values: Mapping[str, object], options: SendOptions) -> Call:
        """A validated call from arguments by name, with options over those of this task.

        Raises:
            PayloadError: The arguments don't fit the parameters.
            OptionError: An option, or the key made from the arguments, isn't valid.
        """
        payload = self._definition.parameters.payload(values)
        merged: SendOptions = {**self._options, **options}
        check_send_options(merged)
        keys = self._definition.keys_for(payload, merged)
        return Call(task=self, payload=payload, options={**keys, **merged})  # type: ignore[typeddict-item]  # keys are two of them


def default_name(function: Callable[..., object]) -> str:
    """`module.qualname`, by the name under which a worker would import it.

    Raises:
        TaskDefinitionError: A worker couldn't find it by name.
    """
    module, qualname = function.__module__, function.__qualname__
    if "<" in qualname:
        raise TaskDefinitionError(
            f"{qualname} is local, so its name means nothing to a worker", hint='name it: @cloudq.task("shop.welcome")'
        )
    return f"{_import_name(module, qualname) if module in _MAIN else module}.{qualname}"


def _import_name(module: str, qualname: str) -> str:
    """The name under which a worker would import the script that is running."""
    main = sys.modules[module]
    file = getattr(main, "__file__", None)
    name = "" if file is None else Path(file).stem  # python tasks.py
    if main.__spec__ is not None:
        name = main.__spec__.name  # python -m shop.tasks
    if name in {"", "__main__"}:
        where = "an interactive session" if file is None else f"{file}, which is run as a folder"
        raise TaskDefinitionError(
            f"{qualname} is declared in {where}: a worker can't import that",
            hint='name it: @cloudq.task("shop.welcome")',
        )
    return name


def _check_function(function: Callable[..., object]) -> None:
    """Refuses what looks callable and isn't a function that a worker could call by name."""
    if isinstance(function, Task):
        raise TaskDefinitionError(
            f"{function!r} is a task already", hint="declare its function once more: app.task(the_task.__wrapped__)"
        )
    if isinstance(function, functools.partial) or not hasattr(inspect.unwrap(function), "__code__"):
        raise TaskDefinitionError(f"{function!r} is no function", hint="decorate a def or an async def")
    if inspect.ismethod(function):
        raise TaskDefinitionError(f"{function!r} is bound to an object", hint="declare a function that calls it")
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is not None and first.name in {"self", "cls"} and first.annotation is first.empty:
        raise TaskDefinitionError(
            f"{function.__qualname__} is a method: a worker has no {first.name!r} to call it with",
            hint="declare a function, or a @staticmethod below @task",
        )


def _place(function: Callable[..., object]) -> str:
    # A script that runs and its import may spell its path differently.
    code = inspect.unwrap(function).__code__
    return f"{os.path.realpath(code.co_filename)}:{code.co_firstlineno}"
