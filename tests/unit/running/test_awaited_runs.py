"""A delivery whose end somebody waits for is run here, or, if its task is async, on a loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudq import App
from cloudq.core.delivery import Delivery
from cloudq.core.failure import Failure
from cloudq.core.outcome import Acked, DeadLettered
from cloudq.drivers.memory import MemoryDriver
from cloudq.running.awaited_runs import AwaitedRun, AwaitedRuns
from cloudq.running.processing import processor_of
from cloudq.running.runs import runs_of
from cloudq.running.time_limits import ThreadTimeLimits
from cloudq.testing.clock import FakeClock

seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


class Stand:
    """An app of two tasks that note where they ran, and what runs them."""

    def __init__(self) -> None:
        self.app, self.clock = App("memory://"), FakeClock()
        self.driver = MemoryDriver(clock=self.clock)
        self.ran: list[tuple[str, str]] = []

        @self.app.task("plain")
        def plain() -> None:
            self.ran.append((threading.current_thread().name, seen.get()))
            seen.set("a task's")

        @self.app.task("async")
        async def on_a_loop() -> None:
            self.ran.append((threading.current_thread().name, seen.get()))
            await asyncio.sleep(0)

    def delivery(self, task: str) -> Delivery:
        """One of that task."""
        self.app.send(task)
        (delivery,) = self.driver.receive("default", limit=1, wait=timedelta(0), lease=timedelta(60))
        return delivery


@pytest.fixture
def stand() -> Iterator[tuple[Stand, AwaitedRuns]]:
    one = Stand()
    with one.app.using(one.driver, clock=one.clock):
        limits = ThreadTimeLimits(one.clock)
        runs = AwaitedRuns(processor_of(one.app, limits), runs_of(one.app))
        yield one, runs
        runs.stop()
        limits.close()


def test_a_plain_task_runs_in_this_thread_and_an_async_one_does_not(stand: tuple[Stand, AwaitedRuns]) -> None:
    """Either is over when the call returns; what a plain one sets in its context is gone."""
    one, runs = stand
    for task in ("plain", "async", "plain"):
        run = AwaitedRun(one.delivery(task), one.clock)
        assert runs.is_async(run.delivery) is (task == "async")
        runs.run(run)
        assert isinstance(run.outcome, Acked)
        assert run.arrived.is_set()
    here = threading.current_thread().name
    assert [True, False, True] == [name == here for name, _ in one.ran]
    assert {"nothing"} == {value for _, value in one.ran}


def test_what_had_its_last_run_here_is_not_run_again(stand: tuple[Stand, AwaitedRuns]) -> None:
    """Its verdict is its outcome: its dead letter couldn't be stored the last time."""
    one, runs = stand
    delivery = one.delivery("plain")
    dead = DeadLettered(reason="it failed", failure=Failure(reason="it failed"))
    runs_of(one.app).note_dead(delivery, dead, timedelta(minutes=1))
    run = AwaitedRun(delivery, one.clock)
    runs.run(run)
    assert isinstance(run.outcome, DeadLettered)
    assert [] == one.ran


def test_a_loop_that_is_left_behind_has_a_successor(stand: tuple[Stand, AwaitedRuns]) -> None:
    """The next async task runs."""
    one, runs = stand
    for _ in range(2):
        run = AwaitedRun(one.delivery("async"), one.clock)
        runs.run(run)
        assert isinstance(run.outcome, Acked)
        runs.leave()


def test_an_async_task_that_comes_after_the_stop_is_given_up(stand: tuple[Stand, AwaitedRuns]) -> None:
    """Whoever waits for its end is let go: a thread of a web server, say, that serves a push."""
    one, runs = stand
    run = AwaitedRun(one.delivery("async"), one.clock)
    runs.stop()
    waiting = threading.Thread(target=runs.run, args=[run], daemon=True)
    waiting.start()
    waiting.join(60)
    assert not waiting.is_alive()
    assert run.outcome is None
    assert [] == one.ran


def test_an_async_task_that_is_under_way_at_the_stop_is_given_up(stand: tuple[Stand, AwaitedRuns]) -> None:
    """Too: the loop ends, and with it whatever runs there."""
    one, runs = stand
    began = threading.Event()

    @one.app.task("long")
    async def long() -> None:
        began.set()
        await asyncio.sleep(600)

    run = AwaitedRun(one.delivery("long"), one.clock)
    waiting = threading.Thread(target=runs.run, args=[run], daemon=True)
    waiting.start()
    assert began.wait(60)
    runs.stop()
    waiting.join(60)
    assert not waiting.is_alive()
    assert run.outcome is None
