"""Steps: the same work for a thread and for an event loop, and the way through all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeAlias

import pytest

from cloudq.core.blocking import Step, arun_steps, run_steps
from cloudq.core.clock import SYSTEM_CLOCK

SECOND = timedelta(seconds=1)
Steps: TypeAlias = Generator[Step, Any, object]
Drive: TypeAlias = Callable[[Steps], object]


def step(run: Callable[[], object], limit: timedelta | None = None) -> Step:
    async def arun() -> object:
        return run()

    return Step(limit, run, arun)


@contextmanager
def unlimited(_: timedelta) -> Iterator[None]:
    yield


def in_a_thread(steps: Steps) -> object:
    return run_steps(steps, unlimited)


def on_a_loop(steps: Steps) -> object:
    return asyncio.run(arun_steps(steps, SYSTEM_CLOCK))


EITHER = pytest.mark.parametrize("drive", [in_a_thread, on_a_loop])


def test_a_step_says_how_long_it_may_take_and_does_the_same_either_way() -> None:
    """The Processor goes one way for both."""
    one = step(lambda: "done", SECOND)
    assert (one.limit, one.run(), asyncio.run(_await(one.arun()))) == (SECOND, "done", "done")


async def _await(awaitable: Awaitable[object]) -> object:
    return await awaitable


@EITHER
def test_each_step_is_sent_its_result(drive: Drive) -> None:
    """What they return at their end is what is returned."""

    def steps() -> Steps:
        first = yield step(lambda: 1)
        second = yield step(lambda: 2, SECOND)
        return first, second

    assert (1, 2) == drive(steps())


@EITHER
def test_what_a_step_raises_is_thrown_to_where_it_was_asked_for(drive: Drive) -> None:
    """There it may be caught; what happens next isn't "during handling" of it."""

    def steps() -> Steps:
        caught: BaseException | None = None
        try:
            yield step(lambda: 1 // 0)
        except ZeroDivisionError as error:
            caught = error
        try:
            yield step(lambda: {}["x"])
        except KeyError as error:
            return type(caught), error.__context__

    assert (ZeroDivisionError, None) == drive(steps())


@EITHER
def test_steps_that_are_interrupted_tidy_up_at_once(drive: Drive) -> None:
    """And not when somebody looks for garbage."""
    tidied: list[bool] = []

    def steps() -> Steps:
        try:
            yield step(lambda: 1 // 0)
        finally:
            tidied.append(True)

    with pytest.raises(ZeroDivisionError):
        drive(steps())
    assert [True] == tidied


def test_a_step_with_a_limit_is_guarded() -> None:
    """By the edge's own means, in a thread; the others aren't."""
    asked: list[timedelta] = []

    @contextmanager
    def limiter(limit: timedelta) -> Iterator[None]:
        asked.append(limit)
        yield

    def steps() -> Steps:
        yield step(lambda: 1)
        yield step(lambda: 2, SECOND)
        return None

    run_steps(steps(), limiter)
    assert [SECOND] == asked
