"""Done means that it ran: what gives back something whose code has yet to run is no success."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import pytest
import tenacity
from asgiref.sync import sync_to_async

from cloudq import App, RetryPolicy, TaskDefinitionError
from cloudq.tasks.unrun import has_yet_to_run
from cloudq.testing import in_memory, run_all

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")


def forgets_await(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def calls(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class LazyQuery(Awaitable[None]):
    """As an ORM's query."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


class Compiled:
    """A generator as compilers make them: of a type of their own."""

    def __iter__(self) -> Compiled:
        return self

    def __next__(self) -> None:
        raise StopIteration

    def send(self, value: object) -> None: ...

    def throw(self, error: BaseException) -> None: ...

    def close(self) -> None: ...


def gives_a_compiled_generator() -> Any:
    return Compiled()


async def coroutine_function() -> None: ...


def generator_function() -> Generator[None]:
    yield


async def async_generator_function() -> Any:
    yield


@contextmanager
def context() -> Generator[None]:
    yield


@asynccontextmanager
async def async_context() -> Any:
    yield


async def gives_a_coroutine() -> Any:
    return coroutine_function()


async def gives_a_query() -> Any:
    return LazyQuery()


def gives_a_query_at_once() -> Any:
    return LazyQuery()


async def gives_a_generator() -> Any:
    return generator_function()


def gives_a_context() -> Any:
    return context()


async def gives_an_async_context() -> Any:
    return async_context()


@pytest.mark.parametrize(
    "function",
    [
        calls(coroutine_function),
        calls(generator_function),
        calls(async_generator_function),
        calls(context),
        forgets_await(coroutine_function),
        forgets_await(generator_function),
        forgets_await(async_generator_function),
        gives_a_coroutine,
        gives_a_query,
        gives_a_query_at_once,
        gives_a_generator,
        gives_a_context,
        gives_a_compiled_generator,
        gives_an_async_context,
    ],
)
def test_what_has_yet_to_run_is_a_failure(function: Callable[..., Any]) -> None:
    """Whatever hides it: the message isn't acked, and the reason says what came back."""
    app = App(retry=RetryPolicy(stop=tenacity.stop_after_attempt(1)))
    task = app.task("task")(function)
    with in_memory(app):
        task.send()
        report = run_all(app)
    reasons = [dead.failure.reason for dead in report.dead_letters if dead.failure is not None]
    assert [True] == ["whose code nothing would run" in reason for reason in reasons], report


@pytest.mark.parametrize("function", [generator_function, async_generator_function, context, async_context])
def test_what_can_be_seen_at_the_declaration_is_refused_there(function: Callable[..., Any]) -> None:
    """A call of it would run nothing."""
    with pytest.raises(TaskDefinitionError, match="which nothing would run"):
        App().task("task")(function)


def in_a_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    return sync_to_async(function, thread_sensitive=False)


def marked(function: Callable[..., Any]) -> Callable[..., Any]:
    """As a framework's own decorator does it."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return run(*args, **kwargs)

    if hasattr(inspect, "markcoroutinefunction"):
        return inspect.markcoroutinefunction(wrapper)  # type: ignore[no-any-return]  # from 3.12 on
    wrapper._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # asyncio's own name
    return wrapper


@pytest.mark.parametrize(
    "decorator",
    [sync_to_async, in_a_thread, marked, lambda function: marked(calls(function))],
    ids=["asgiref", "in a thread", "own", "own, below another"],
)
def test_a_function_marked_as_a_coroutine_function_is_awaited(decorator: Callable[..., Any]) -> None:
    """asgiref's sync_to_async sets the mark, in asyncio on Python 3.11 and in inspect later."""
    app = App(retry=RetryPolicy(stop=tenacity.stop_after_attempt(1)))
    ran: list[int] = []

    def plain(n: int) -> None:
        ran.append(n)

    task = app.task("task")(decorator(plain))
    with in_memory(app):
        task.send(n=1)
        report = run_all(app)
    assert ([1], True) == (ran, "succeeded" in str(report))


@pytest.mark.parametrize("result", [None, 0, "text", [], {}, iter([1]), asyncio.Lock, range(3), timedelta(1)])
def test_any_other_result_is_one(result: object) -> None:
    """Values, classes, and what others iterate over."""
    assert not has_yet_to_run(result)


@pytest.mark.parametrize("limit", [timedelta.max, timedelta(days=3_000_000), timedelta(days=365 * 8000)])
@pytest.mark.parametrize("options", [("time_limit",), ("lease",), ("time_limit", "lease")], ids=str)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_limit_beyond_all_time_is_none(limit: timedelta, options: tuple[str, ...], kind: str) -> None:
    """It doesn't overflow when it is added to a moment, be it in a worker or in eager mode."""
    app = App(retry=RetryPolicy(stop=tenacity.stop_after_attempt(1)))
    ran: list[None] = []

    def task() -> None:
        ran.append(None)

    async def async_task() -> None:
        ran.append(None)

    given: Any = dict.fromkeys(options, limit)
    declared = app.task("task", **given)(task if kind == "sync" else async_task)
    with in_memory(app):
        declared.send()
        run_all(app)
    assert [None] == ran
    with app.eager():
        declared.send()
    assert [None, None] == ran
