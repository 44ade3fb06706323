"""`Task` and `Call`: a declared function that can be sent, and `TaskDecorator`, which makes one of a function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, Protocol, TypeVar, Unpack, overload

import msgspec

from cloudq.core.message import Message
from cloudq.errors import OptionError
from cloudq.tasks import foreign_words
from cloudq.tasks.context import Context, maybe_current
from cloudq.tasks.definition import Definition
from cloudq.tasks.foreign_words import no_attribute
from cloudq.tasks.home import TaskHome
from cloudq.tasks.options import SendOptions, check_send_options
from cloudq.tasks.run_options import check_noting
from cloudq.tasks.sent import Sent

P = ParamSpec("P")
R = TypeVar("R")

_NO_OPTIONS: Final[SendOptions] = {}


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

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError, which names our word if other task queues have one of that name."""
            raise no_attribute(self, name, foreign_words.CALL)

    def with_options(self, options: SendOptions) -> Call:
        """The same call, with options over its own.

        Raises:
            OptionError: An option isn't valid.
        """
        merged: SendOptions = {**self.options, **options}
        check_send_options(merged)
        return Call(task=self.task, payload=self.payload, options=merged)


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

    def __init__(
        self, definition: Definition, options: SendOptions | None = None, *, declared: Task[P, R] | None = None
    ) -> None:
        self._definition = definition
        # What stands in the user's module, of which this may be a variant with options.
        self._declared: Task[P, R] = declared or self
        self._options: SendOptions = options or {}
        # What names a callable (profilers, decorators, web frameworks) names the function.
        self.__qualname__: str = definition.function.__qualname__
        functools.update_wrapper(self, definition.function, updated=())

    def __repr__(self) -> str:
        """The name."""
        return f"Task({self.name!r})"

    def __reduce__(self) -> str | tuple[Callable[..., Task[..., Any]], tuple[object, ...]]:
        """By the name that it has in its module: another process imports it, and a deep copy is the task itself."""
        if not self._options:
            return str(self.__qualname__)
        return _with_options, (self._declared, dict(self._options))

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError, which names our word if other task queues have one of that name."""
            raise no_attribute(self, name, foreign_words.TASK)

    @property
    def name(self) -> str:
        """The name that messages carry."""
        return self._definition.name

    @property
    def app(self) -> TaskHome:
        """The app that it belongs to."""
        return self._definition.app

    @property
    def queue(self) -> str:
        """Where its messages go unless a send says otherwise: the first of its queues."""
        return self._definition.queue

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that it may be sent to; see `strict_queues` of `AppSettings`."""
        return self._definition.queues

    @property
    def time_limit(self) -> timedelta | None:
        """How long one run may take, or `None` where the declaration doesn't say."""
        return self._definition.time_limit

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs the function here and now. A leading Context is filled in: the running task's, or an empty one.

        So are dependencies that aren't given.
        """
        definition = self._definition
        if not definition.parameters.filled_in:
            return definition.function(*args, **kwargs)  # type: ignore[no-any-return]  # R is the function's own type
        context = maybe_current() or Context(
            Message(id="direct-call", task=self.name, queue=self.queue), clock=self.app.clock
        )
        if definition.dependencies:
            from cloudq.tasks.dependencies.job import call_directly

            return call_directly(definition, context, args, kwargs)  # type: ignore[no-any-return]  # as above
        return definition.function(context, *args, **kwargs)  # type: ignore[no-any-return]  # as above

    def send(self, *args: P.args, **kwargs: P.kwargs) -> Sent[R]:
        """Stores a message that makes a worker run the task. Returns only when it is stored.

        Raises:
            PayloadError: The arguments don't fit the parameters. Nothing was stored.
            OptionError: An option, or the key made from the arguments, isn't valid. Nothing was stored.
            UnsupportedError: The queue can't do what an option asks for. Nothing was stored.
            MessageTooLarge: Nothing was stored.
            BackendError: It may not be stored.
        """
        # As app.send(call(...)). A look at an attribute of what has a `__getattr__` costs as much as a call: so, few.
        definition = self._definition
        return definition.app.send(self.call_with(definition.parameters.values(args, kwargs), _NO_OPTIONS))

    async def asend(self, *args: P.args, **kwargs: P.kwargs) -> Sent[R]:
        """As `send`, for async code. Cancelling it doesn't unsend."""
        return await self.app.asend(self.call(*args, **kwargs))

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """A validated call, to be sent later or together with others.

        Raises:
            PayloadError: The arguments don't fit the parameters.
            OptionError: The key made from the arguments isn't valid.
        """
        return self.call_with(self._definition.parameters.values(args, kwargs), _NO_OPTIONS)

    def options(self, **options: Unpack[SendOptions]) -> Task[P, R]:
        """The same task, sent with these options: `welcome.options(delay=timedelta(hours=1)).send(user_id=42)`.

        Raises:
            OptionError: An option isn't valid.
        """
        if "delay" in options and "at" in self._options:
            raise OptionError("delay and at exclude each other: at was given before", hint="give one of them")
        if "at" in options and "delay" in self._options:
            raise OptionError("delay and at exclude each other: delay was given before", hint="give one of them")
        check_send_options(options, self._definition.parameters.names)
        return Task(self._definition, {**self._options, **options}, declared=self._declared)

    def call_with(self, values: Mapping[str, object], options: SendOptions) -> Call:
        """A validated call from arguments by name, with options over those of this task.

        Raises:
            PayloadError: The arguments don't fit the parameters.
            OptionError: An option, or the key made from the arguments, isn't valid.
        """
        definition, own = self._definition, self._options
        parameters = definition.parameters
        merged: SendOptions = {**own, **options}
        # Before the payload: a parameter that was passed as an option is missing there.
        if merged:
            check_send_options(merged, parameters.names)
        payload = parameters.payload(values, convert_untyped=definition.app.convert_untyped)
        if not definition.keys:
            return Call(task=self, payload=payload, options=merged)
        keys = definition.keys_for(payload, merged)
        check_noting({**keys, **merged})
        return Call(task=self, payload=payload, options={**keys, **merged})  # type: ignore[typeddict-item]  # keys are two of them


def definition_of(task: Task[..., Any]) -> Definition:
    """What its declaration fixed, by one look at an attribute."""
    return task._definition  # a friend: users have no need of it


def _with_options(task: Task[..., Any], options: SendOptions) -> Task[..., Any]:
    return task.options(**options)


class TaskDecorator(Protocol):
    """What `app.task(...)` gives: a function in, a Task out, a leading Context hidden from callers."""

    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...
