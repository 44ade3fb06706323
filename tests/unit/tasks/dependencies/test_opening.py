"""One dependency is opened and closed, here or from a loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from cloudq.tasks.dependencies.nodes import Kind, Node
from cloudq.tasks.dependencies.opening import Stack, close_here, close_on_loop, in_a_thread, open_here, open_on_loop


def node(function: Callable[..., Any], kind: Kind) -> Node:
    return Node(function, kind, (), (), per_process=False)


def opened_here(function: Callable[..., Any]) -> tuple[Any, Stack]:
    stack: Stack = []
    return open_here(node(function, Kind.GENERATOR), {}, stack), stack


def never() -> Iterator[int]:
    yield from ()


def twice() -> Iterator[int]:
    yield 1
    yield 2


async def anever() -> AsyncIterator[int]:
    for one in ():
        yield one


async def atwice() -> AsyncIterator[int]:
    yield 1
    yield 2


def test_a_generator_yields_once() -> None:
    """Not never, and not twice."""
    with pytest.raises(RuntimeError, match="never ended without a yield"):
        opened_here(never)
    value, stack = opened_here(twice)
    assert 1 == value
    with pytest.raises(RuntimeError, match="twice yielded twice"):
        close_here(stack)


def test_an_async_generator_yields_once() -> None:
    """As a plain one."""

    async def main() -> None:
        stack: Stack = []
        with pytest.raises(RuntimeError, match="anever ended without a yield"):
            await open_on_loop(node(anever, Kind.ASYNC_GENERATOR), {}, stack)
        stack.clear()
        assert 1 == await open_on_loop(node(atwice, Kind.ASYNC_GENERATOR), {}, stack)
        with pytest.raises(RuntimeError, match="atwice yielded twice"):
            await close_on_loop(stack)

    asyncio.run(main())


def swallows() -> Iterator[int]:
    with suppress(ValueError):
        yield 1


def raises_another() -> Iterator[int]:
    try:
        yield 1
    finally:
        raise KeyError("rollback")


def test_what_is_told_of_a_failure_cannot_change_it(caplog) -> None:
    """What it raises itself is logged; swallowed or not, the error and where it came from stay the same."""
    stack: Stack = []
    for function in (swallows, raises_another, twice):
        open_here(node(function, Kind.GENERATOR), {}, stack)
    error = ValueError("the task's")
    with caplog.at_level(logging.ERROR, "cloudq"):
        close_here(stack, error)
    assert [] == stack
    assert None is error.__traceback__
    [record] = caplog.records
    assert "raises_another failed at its end" in record.message


def test_a_stop_iteration_of_the_tasks_is_no_failure_of_a_dependency(caplog) -> None:
    """Python lets none through a generator, and makes a RuntimeError of it."""

    def session() -> Iterator[int]:
        yield 1

    _, stack = opened_here(session)
    close_here(stack, StopIteration("the task's"))
    assert [] == caplog.records


def test_a_cancelled_coroutine_waits_for_its_thread() -> None:
    """So what was opened there by then is closed, and by nobody else meanwhile."""
    begun, go_on, events = threading.Event(), threading.Event(), []

    def session() -> Iterator[int]:
        begun.set()
        assert go_on.wait(60)
        events.append("opened")
        try:
            yield 1
        finally:
            events.append("closed")

    async def attempt() -> None:
        stack: Stack = []
        try:
            await open_on_loop(node(session, Kind.GENERATOR), {}, stack)
        except BaseException as error:
            await close_on_loop(stack, error)
            raise

    async def main() -> None:
        task = asyncio.create_task(attempt())
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # once more
        await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ["opened", "closed"] == events


def test_a_stop_iteration_in_a_thread_is_raised() -> None:
    """A future takes none: whoever awaited it would wait for ever."""

    def raises() -> None:
        raise StopIteration

    async def main() -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(in_a_thread(raises), 60)

    asyncio.run(main())


def test_a_coroutine_that_is_thrown_away_closes_what_is_plain() -> None:
    """It can't await; async ones are left to the end of their loop."""
    events: list[str] = []

    def plain() -> Iterator[int]:
        try:
            yield 1
        finally:
            events.append("plain")

    async def agenerator() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            events.append("async")

    async def main() -> None:
        stack: Stack = []
        open_here(node(plain, Kind.GENERATOR), {}, stack)
        await open_on_loop(node(agenerator, Kind.ASYNC_GENERATOR), {}, stack)
        closing = close_on_loop(stack, GeneratorExit())
        with pytest.raises(StopIteration):
            closing.send(None)  # it awaits nothing
        assert ["plain"] == events

    asyncio.run(main())
    assert ["plain", "async"] == events
