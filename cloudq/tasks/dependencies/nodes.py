"""`Plan`: which functions are called for the dependencies of a task, and in which order."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NoReturn

from cloudq.errors import TaskDefinitionError
from cloudq.tasks.context import Context
from cloudq.tasks.dependencies.marks import Mark, evaluated, is_context, mark_of
from cloudq.tasks.unrun import is_async, runs_nothing

_MANY: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Kind(Enum):
    """How a dependency gives its value."""

    PLAIN = "plain"
    GENERATOR = "generator"
    ASYNC = "async"
    ASYNC_GENERATOR = "async generator"


class Node:
    """One dependency, as it is called.

    Attributes:
        function: What is called.
        name: How messages call it.
        kind: How it gives its value.
        key: The same for the same value of a process.
        inputs: Which of its parameters are dependencies.
        contexts: Which of its parameters are given the Context.
        per_process: Whether its value serves the whole process.
        on_loop: Whether its value belongs to an event loop: it is async, or made of one that is.
    """

    __slots__ = ("contexts", "function", "inputs", "key", "kind", "name", "on_loop", "per_process")

    def __init__(
        self,
        function: Callable[..., Any],
        kind: Kind,
        inputs: Sequence[tuple[str, Node]],
        contexts: Sequence[str],
        *,
        per_process: bool,
    ) -> None:
        self.function = function
        self.name = name_of(function)
        self.kind = kind
        self.key = key_of(function)
        self.inputs = inputs
        self.contexts = contexts
        self.per_process = per_process
        self.on_loop: bool = kind in {Kind.ASYNC, Kind.ASYNC_GENERATOR} or any(one.on_loop for _, one in inputs)

    def arguments(self, values: Mapping[Node, object], context: Context | None) -> dict[str, object]:
        """What to call it with."""
        arguments: dict[str, object] = {name: values[node] for name, node in self.inputs}
        for name in self.contexts:
            arguments[name] = context
        return arguments


class Plan:
    """The dependencies of one task.

    Attributes:
        order: All that are called, each behind those that it is made of.
        wanted: Which of the task's parameters is given the value of which.
    """

    __slots__ = ("order", "wanted")

    def __init__(self, order: Sequence[Node], wanted: Sequence[tuple[str, Node]]) -> None:
        self.order = order
        self.wanted = wanted

    def for_task(self, values: Mapping[Node, object]) -> dict[str, object]:
        """What the task's function is called with."""
        return {name: values[node] for name, node in self.wanted}


def planned(
    marks: Mapping[str, Mark],
    *,
    task: str,
    is_async: bool,
    overrides: Mapping[Hashable, Callable[..., Any]],
) -> Plan:
    """The plan of a task.

    Args:
        marks: The marks of its parameters.
        task: Its name, for messages.
        is_async: Whether it is an async one, which alone may have async dependencies.
        overrides: What is called in place of what, by `key_of`.

    Raises:
        TaskDefinitionError: It can't be kept. It says why, and where.
    """
    planning = _Planning(task, is_async=is_async, overrides=overrides)
    wanted = [(name, planning.node(mark, (f"parameter {name!r} of task {task!r}",))) for name, mark in marks.items()]
    return Plan(planning.order, wanted)


class _Planning:
    def __init__(self, task: str, *, is_async: bool, overrides: Mapping[Hashable, Callable[..., Any]]) -> None:
        self._task = task
        self._is_async = is_async
        self._overrides = overrides
        self._shared: dict[Hashable, Node] = {}
        self._underway: list[Hashable] = []
        self.order: list[Node] = []

    def node(self, mark: Mark, way: tuple[str, ...], *, for_process: bool = False) -> Node:
        function = self._overrides.get(key_of(mark.function), mark.function)
        per_process = mark.scope == "process"
        way = (*way, name_of(function))
        if for_process and not per_process:
            self._refuse(way, "is one of an attempt, and asked for by one of the process", 'scope="process"')
        key = (key_of(function), mark.scope)
        if mark.use_cache and (shared := self._shared.get(key)) is not None:
            return shared
        if key in self._underway:
            self._refuse(way, "leads to itself", "leave one of these out")
        self._underway.append(key)
        node = self._made(function, way, per_process=per_process)
        self._underway.pop()
        self.order.append(node)
        if mark.use_cache:
            self._shared[key] = node
        return node

    def _made(self, function: Callable[..., Any], way: tuple[str, ...], *, per_process: bool) -> Node:
        kind = self._kind(function, way)
        inputs: list[tuple[str, Node]] = []
        contexts: list[str] = []
        for parameter, annotation in self._parameters(function, way):
            mark = mark_of(parameter, annotation, f"dependency {name_of(function)}")
            if mark is not None:
                inputs.append((parameter.name, self.node(mark, way, for_process=per_process)))
            elif is_context(annotation):
                if per_process:
                    self._refuse(way, "is one of the process, and asks for a Context", "a Context is one attempt's")
                contexts.append(parameter.name)
            elif parameter.default is parameter.empty and parameter.kind not in _MANY:
                self._refuse(
                    way,
                    f"asks for {parameter.name!r}, which is no dependency, no Context, and has no default",
                    f"{parameter.name}: Annotated[..., Depends(...)]; or take a Context, and read its message",
                )
        return Node(function, kind, inputs, contexts, per_process=per_process)

    def _kind(self, function: Callable[..., Any], way: tuple[str, ...]) -> Kind:
        called = _called(function)
        if runs_nothing(called) == "a context manager":
            self._refuse(way, "is a context manager", "leave out the decorator: a generator that yields once will do")
        called = inspect.unwrap(called)
        if inspect.isasyncgenfunction(called):
            kind = Kind.ASYNC_GENERATOR
        elif inspect.isgeneratorfunction(called):
            kind = Kind.GENERATOR
        else:
            kind = Kind.ASYNC if is_async(called) else Kind.PLAIN
        if kind in {Kind.ASYNC, Kind.ASYNC_GENERATOR} and not self._is_async:
            self._refuse(way, "is async, and the task isn't", "async def for both, or def for both")
        return kind

    def _parameters(
        self, function: Callable[..., Any], way: tuple[str, ...]
    ) -> Sequence[tuple[inspect.Parameter, Any]]:
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            self._refuse(way, "doesn't say what its parameters are", "write a function that calls it")
        names = _names_around(function)
        return [(one, evaluated(one.annotation, names)) for one in signature.parameters.values()]

    def _refuse(self, way: Sequence[str], why: str, hint: str) -> NoReturn:
        *before, last = way
        raise TaskDefinitionError(f"dependency {last} of task {self._task!r} {why} ({' > '.join(before)})", hint=hint)


def key_of(function: Callable[..., Any]) -> Hashable:
    """The function itself, or what stands for one that has no hash; its node holds the function as long as the key."""
    try:
        hash(function)
    except TypeError:
        return id(function)
    return function


def name_of(function: Callable[..., Any]) -> str:
    """How messages call it."""
    return getattr(_called(function), "__qualname__", None) or repr(function)


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is run when it is called: behind partials, and of an object that can be called its method."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isclass(function) or inspect.isroutine(function) or hasattr(function, "__wrapped__"):
        return function
    # An object of the user's own: what runs is its class's method.
    method: Callable[..., Any] = function.__call__  # type: ignore[operator]
    return method


def _names_around(function: Callable[..., Any]) -> dict[str, Any]:
    called = inspect.unwrap(_called(function))
    if inspect.isclass(called):
        module = sys.modules.get(called.__module__)
        return getattr(called.__init__, "__globals__", None) or (vars(module) if module is not None else {})
    found: dict[str, Any] = getattr(called, "__globals__", {})
    return found
