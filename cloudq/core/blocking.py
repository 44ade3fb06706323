"""`Step`: what may block on the way of a delivery; and the ways of either kind of caller through all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar

from cloudq.core.async_time_limit import AsyncTimeLimit
from cloudq.core.clock import Clock

T = TypeVar("T")

TimeLimiter: TypeAlias = Callable[[timedelta], AbstractContextManager[None]]
"""Raises `TimeLimitExceeded` in the block that it guards once the time is over. The edge knows how."""


class Step:
    """What may block, for a thread and for an event loop, and how long it may take.

    Args:
        limit: How long, or `None` for as long as it likes.
        run: Does it in this thread.
        arun: Does it without blocking the loop.
    """

    __slots__ = ("arun", "limit", "run")

    def __init__(
        self, limit: timedelta | None, run: Callable[[], object], arun: Callable[[], Awaitable[object]]
    ) -> None:
        self.limit = limit
        self.run = run
        self.arun = arun


def run_steps(steps: Generator[Step, Any, T], time_limiter: TimeLimiter) -> T:
    """Goes through the steps in this thread, and sends each its result, or throws it its error. Returns their end."""
    try:
        step = next(steps)
        while True:
            result, failed = None, None
            try:
                if step.limit is None:
                    result = step.run()
                else:
                    with time_limiter(step.limit):
                        result = step.run()
            except BaseException as error:  # noqa: BLE001 - thrown into the steps, which raise what isn't theirs
                failed = error
            # Outside of the except: what runs next, middleware too, isn't "during handling" of this error.
            step = steps.send(result) if failed is None else steps.throw(failed)
    except StopIteration as end:
        returned: T = end.value
        return returned
    finally:
        steps.close()  # interrupted here, the middleware tidies up at once
        failed = None  # its traceback refers to this frame: a circle, which would keep the task's locals alive


async def arun_steps(steps: Generator[Step, Any, T], clock: Clock) -> T:
    """As `run_steps`, without blocking the loop."""
    try:
        step = next(steps)
        while True:
            result, failed = None, None
            try:
                if step.limit is None:
                    result = await step.arun()
                else:
                    async with AsyncTimeLimit(step.limit, clock):
                        result = await step.arun()
            except BaseException as error:  # noqa: BLE001 - as above
                failed = error
            step = steps.send(result) if failed is None else steps.throw(failed)
    except StopIteration as end:
        returned: T = end.value
        return returned
    finally:
        steps.close()
        failed = None
