"""Executors: whatever a task raises, or does to the event loop that it shares, the others run on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from queue import SimpleQueue

import pytest
from tenacity import stop_after_attempt, wait_fixed

from cloudq.app import App
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.outcome import Outcome, Retried
from cloudq.core.policy import RetryPolicy
from cloudq.core.processor import Processor
from cloudq.drivers.memory import MemoryDriver
from cloudq.running.event_loop import EventLoop
from cloudq.running.held import HeldLease
from tests.unit.worker.fakes import delivery, running, until


class Beyond(BaseException):
    """Neither an Exception nor one that Python knows."""


@pytest.fixture
def app() -> Iterator[App]:
    app = App("memory://", retry=RetryPolicy(stop=stop_after_attempt(2), wait=wait_fixed(0)))
    with app.using(MemoryDriver()):
        yield app


def work_off(app: App, seen: list[int]) -> list[str]:
    """Runs a worker until ten harmless tasks have run beside the harmful one. The reasons of the dead letters."""

    @app.task("harmless")
    def harmless(number: int) -> None:
        seen.append(number)

    @app.task("aharmless")
    async def aharmless(number: int) -> None:
        await asyncio.sleep(0)
        seen.append(number)

    for number in range(5):
        harmless.send(number=number)
        aharmless.send(number=number + 5)
    queue = app.queue("default")
    with running(app, concurrency=2):
        until(lambda: len(seen) == 10, what="the harmless tasks ran")
        until(lambda: not (queue.stats().in_flight or queue.stats().ready), what="nothing is left in hand")
    assert list(range(10)) == sorted(seen)
    return [dead.failure.reason for dead in queue.dead_letters if dead.failure]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, Beyond])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_is_no_exception_ends_its_own_task_alone(app: App, kind: type[BaseException], is_async: bool) -> None:
    """A task that raises what no `except Exception` catches is dead-lettered, and its thread or loop works on."""

    @app.task("harmful")
    def harmful() -> None:
        raise kind

    @app.task("aharmful")
    async def aharmful() -> None:
        raise kind

    app.send("aharmful" if is_async else "harmful", {})
    assert [f"not retried: {kind.__name__}"] == work_off(app, [])


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_coroutine_that_is_left_behind_cant_end_the_loop(
    app: App, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """What a task leaves running on the loop may raise whatever it likes: the tasks on it go on."""
    left: list[asyncio.Task[None]] = []

    async def raises() -> None:
        raise kind

    @app.task("leaves")
    async def leaves() -> None:
        left.append(asyncio.ensure_future(raises()))
        await asyncio.sleep(0.01)

    leaves.send()
    assert [] == work_off(app, [])
    assert isinstance(left[0].exception(), kind)
    assert "the loop goes on" in caplog.text


def test_a_task_cant_stop_the_loop(app: App) -> None:
    """A task that stops the loop goes on itself, and so do the others."""
    ended: list[bool] = []

    @app.task("stops")
    async def stops() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)
        ended.append(True)

    stops.send()
    assert [] == work_off(app, [])
    assert [True] == ended


def test_a_task_that_cancels_itself_is_retried(app: App) -> None:
    """A cancellation that doesn't come from the worker is a failure like any other."""
    runs: list[int] = []

    @app.task("cancels")
    async def cancels() -> None:
        runs.append(1)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(60)

    cancels.send()
    assert ["gave up after 2 attempts: CancelledError: the task was cancelled by a task"] == work_off(app, [])
    assert [1, 1] == runs


def test_a_task_that_is_cancelled_before_its_first_step_has_an_outcome() -> None:
    """A task that cancels whatever is on the loop can't make another vanish that hasn't begun."""
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    loop = EventLoop(Processor({}), lambda _held, outcome, _seconds: outcomes.put(outcome))
    now = SYSTEM_CLOCK.now()
    held = HeldLease(delivery(now), SYSTEM_CLOCK, extendable=True)

    def start_and_cancel_all() -> None:
        loop._start(held)
        for task in asyncio.all_tasks():
            task.cancel()

    try:
        loop._loop.call_soon_threadsafe(start_and_cancel_all)
        assert isinstance(outcomes.get(timeout=10), Retried)
    finally:
        loop.stop()


def test_exit_in_a_thread_is_the_tasks_own(app: App) -> None:
    """`sys.exit` in a task neither ends the worker nor one of its threads."""

    @app.task("exits")
    def exits() -> None:
        sys.exit(3)

    exits.send()
    assert ["not retried: SystemExit: 3"] == work_off(app, [])
