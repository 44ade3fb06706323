"""Which functions are called for a task's dependencies, in which order; and what is refused before a run."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from cloudq import App, Context, Depends
from cloudq.errors import TaskDefinitionError
from cloudq.tasks.dependencies.nodes import Plan
from cloudq.tasks.task import definition_of
from tests.ids import shown


def settings() -> dict[str, str]:
    return {"url": "db"}


Settings = Annotated[dict[str, str], Depends(settings)]
OfProcess = Annotated[dict[str, str], Depends(settings, scope="process")]


def engine(of: OfProcess) -> Iterator[str]:
    yield of["url"]


def session(engine: Annotated[str, Depends(engine, scope="process")], context: Context, echo: bool = False) -> str:
    return engine


async def asynchronous() -> str:
    return "a"


async def agenerator() -> AsyncIterator[str]:
    yield "a"


@dataclass
class Paging:
    of: Settings
    size: int = 10


class Getter:
    def __call__(self, of: Settings) -> str:
        return of["url"]


class Unhashable(Getter):
    __hash__ = None  # type: ignore[assignment]


def partly(of: Settings, size: int) -> int:
    return size


@functools.wraps(engine)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return engine(*args, **kwargs)


GETTER, UNHASHABLE = Getter(), Unhashable()


def plan(function: Any) -> Plan:
    app = App("memory://")
    task = app.task("t")(function)
    app.load()
    return app.dependencies.in_force.plan(definition_of(task))


def task_with(mark: Any, *, asynchronous: bool = False) -> Any:
    def task(n: int, one: Any = mark) -> None: ...
    async def atask(n: int, one: Any = mark) -> None: ...

    return atask if asynchronous else task


def shape(function: Any) -> list[tuple[str, str]]:
    return [(node.name.rpartition(".")[2], node.kind.value) for node in plan(function).order]


def test_each_is_called_behind_what_it_is_made_of() -> None:
    """Once, however many ask for it, unless one wants its own."""

    def task(one: Annotated[str, Depends(session)], two: Settings, three: OfProcess) -> None: ...
    def own(one: Settings, two: Annotated[Any, Depends(settings, use_cache=False)], three: Settings) -> None: ...

    assert ["settings", "engine", "session", "settings"] == [name for name, _ in shape(task)]
    assert ["settings", "settings"] == [name for name, _ in shape(own)]


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (engine, "generator"),
        (wrapped, "generator"),
        (Paging, "plain"),
        (GETTER, "plain"),
        (UNHASHABLE, "plain"),
        (functools.partial(partly, size=2), "plain"),
        (asynchronous, "async"),
        (agenerator, "async generator"),
        (functools.partial(agenerator), "async generator"),
    ],
    ids=shown,
)
def test_whatever_can_be_called_will_do(function, kind) -> None:
    """Functions, generators, classes, objects, partials; their annotations may be texts."""
    shapes = shape(task_with(Depends(function), asynchronous=True))
    assert kind == shapes[-1][1]
    assert len(shapes) == (1 if kind.startswith("async") else 2)


def first(other: Any) -> str: ...
def second(other: Annotated[Any, Depends(first)]) -> str: ...


first.__annotations__["other"] = Annotated[Any, Depends(second)]


@contextmanager
def managed() -> Iterator[str]:
    yield "m"


def needs(request: int) -> str: ...
def of_process_and_attempt(of: Settings) -> str: ...
def of_process_and_context(context: Context) -> str: ...


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (Depends(needs), "asks for 'request', which is no dependency, no Context, and has no default"),
        (Depends(first), "leads to itself .*first > second"),
        (Depends(managed), "is a context manager"),
        (Depends(asynchronous), "is async, and the task isn't"),
        (Depends(agenerator), "is async, and the task isn't"),
        (Depends(of_process_and_attempt, scope="process"), "is one of an attempt, and asked for by one of the process"),
        (Depends(of_process_and_context, scope="process"), "is one of the process, and asks for a Context"),
        (Depends(type), "doesn't say what its parameters are"),
    ],
)
def test_what_cannot_be_had_is_refused_at_the_start(mark, said) -> None:
    """Before a message is received; the error says where, and whose."""
    app = App("memory://")
    app.task("t")(task_with(mark))
    with pytest.raises(TaskDefinitionError, match=said) as refused:
        app.load()
    assert "of task 't'" in str(refused.value)
    assert "parameter 'one'" in str(refused.value)
    assert refused.value.hint
