"""A coroutine is cancelled once somebody wants that; a cancellation from outside stays one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from threading import Event

import pytest

from cloudq.core.outcome import CANCELLED, Decided
from cloudq.tasks.cancelled_on_demand import CancelledOnDemand


class Wanted:
    """A run that is cancelled from another thread."""

    def __init__(self) -> None:
        self.cancelled = Event()
        self.stopped = False
        self.stop: Callable[[], None] | None = None

    def progress(self, done: float, total: float | None) -> None: ...

    def on_cancel(self, stop: Callable[[], None] | None) -> None:
        self.stop = stop

    def cancel(self) -> None:
        stop = self.stop
        assert stop is not None
        self.cancelled.set()
        thread = threading.Thread(target=stop)
        thread.start()
        thread.join()


def test_what_is_awaited_is_cancelled() -> None:
    """And what becomes of the delivery is decided."""
    run, tidied = Wanted(), []

    async def main() -> None:
        async with CancelledOnDemand(run):
            run.cancel()
            try:
                await asyncio.sleep(60)
            finally:
                tidied.append(1)

    with pytest.raises(Decided) as decided:
        asyncio.run(main())
    assert decided.value.outcome is CANCELLED
    assert (tidied, run.stopped, run.stop) == ([1], True, None)


def test_what_goes_on_is_done() -> None:
    """Its cancellation is forgotten: the next await isn't cancelled."""
    run = Wanted()

    async def main() -> int:
        async with CancelledOnDemand(run):
            run.cancel()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert asyncio.run(main()) == 0
    assert not run.stopped


def test_a_cancellation_from_outside_stays_one() -> None:
    """The worker shuts down."""
    run = Wanted()

    async def inner() -> None:
        async with CancelledOnDemand(run):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(inner())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert not run.stopped


def test_a_wish_after_the_end_changes_nothing() -> None:
    """Its thread may be late, and the loop closed."""
    run = Wanted()
    stops: list[Callable[[], None] | None] = []
    complaints: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, about: complaints.append(about))
        async with CancelledOnDemand(run):
            stops.append(run.stop)
        stop = stops[0]
        assert stop is not None
        stop()
        await asyncio.sleep(0)

    asyncio.run(main())
    stop = stops[0]
    assert stop is not None
    stop()
    assert complaints == []


def test_an_error_of_the_tasks_stays_what_it_is() -> None:
    """Also a TimeoutError of its own."""
    run = Wanted()

    async def main() -> None:
        async with CancelledOnDemand(run):
            raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        asyncio.run(main())
