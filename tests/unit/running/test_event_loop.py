"""The event loop that async tasks share: whatever one of them does to it, the others have an outcome."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from cloudq.app import App
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.outcome import ACKED, Outcome, Retried, Snoozed, Why
from cloudq.core.processor import Processor
from cloudq.drivers.memory import MemoryDriver
from cloudq.running.event_loop import EventLoop, LazyLoop
from cloudq.running.held import HeldLease
from tests.unit.worker.fakes import NoText, NoThreads, delivery


class Tasks:
    """An app with one async task, `noop`, and the outcomes of its runs."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.outcomes: SimpleQueue[Outcome] = SimpleQueue()

    def declare(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.app.task("noop")(function)

    @property
    def processor(self) -> Processor[Any]:
        return Processor(self.app.runtime.handlers)

    def ended(self, _held: HeldLease, outcome: Outcome, _seconds: float) -> None:
        self.outcomes.put(outcome)

    def outcome(self) -> Outcome:
        return self.outcomes.get(timeout=60)


def held() -> HeldLease:
    return HeldLease(delivery(SYSTEM_CLOCK), SYSTEM_CLOCK.elapsed(), extendable=True)


@pytest.fixture
def tasks() -> Iterator[Tasks]:
    app = App("memory://")
    with app.using(MemoryDriver()):
        yield Tasks(app)


async def nothing() -> None:
    """A task that does nothing."""


def test_a_task_that_is_cancelled_before_its_first_step_has_an_outcome(tasks: Tasks) -> None:
    """A task that cancels whatever is on the loop can't make another vanish that hasn't begun."""
    loop = EventLoop(tasks.processor, tasks.ended)

    def start_and_cancel_all() -> None:
        loop._start(held())
        for task in asyncio.all_tasks():
            task.cancel()

    try:
        loop._loop.call_soon_threadsafe(start_and_cancel_all)
        assert isinstance(tasks.outcome(), Retried)
    finally:
        loop.stop()


def test_a_factory_for_tasks_that_raises_costs_an_attempt(tasks: Tasks) -> None:
    """A task may set one on the loop that it shares: those that can't start are failures, not lost."""

    async def sets_a_factory() -> None:
        def refuse(*_: object, **__: object) -> asyncio.Task[None]:
            raise SystemExit

        asyncio.get_running_loop().set_task_factory(refuse)  # type: ignore[arg-type]

    tasks.declare(sets_a_factory)
    loop = EventLoop(tasks.processor, tasks.ended)
    loop.run(held())
    assert ACKED == tasks.outcome()
    loop.run(held())
    assert not isinstance(tasks.outcome(), type(ACKED))
    assert loop.alive
    loop._loop.call_soon_threadsafe(loop._loop.set_task_factory, None)
    loop.stop()


def test_an_outcome_that_cant_be_recorded_ends_no_loop(tasks: Tasks, caplog: pytest.LogCaptureFixture) -> None:
    """A slip of the edge's is logged, and the next task runs on the same loop."""
    tasks.declare(nothing)
    slips = [SystemExit(1)]

    def ended(one: HeldLease, outcome: Outcome, seconds: float) -> None:
        if slips:
            raise slips.pop()
        tasks.ended(one, outcome, seconds)

    loop = EventLoop(tasks.processor, ended)
    loop.run(held())
    loop.run(held())
    assert ACKED == tasks.outcome()
    assert "could not be recorded" in caplog.text
    loop.stop()


def test_what_ran_on_a_loop_that_is_closed_has_failed(tasks: Tasks) -> None:
    """A task that has the loop closed takes nobody's outcome away."""

    async def closes() -> None:
        loop = asyncio.get_running_loop()
        # It can be closed between two turns only: here when the next one begins.
        turn = loop.run_forever

        def close_and_turn() -> None:
            loop.close()
            turn()

        loop.run_forever = close_and_turn  # type: ignore[method-assign]
        loop.stop()
        # This one stays as it is for good. asyncio would log so once it is collected, in whichever test runs by then.
        asyncio.current_task()._log_destroy_pending = False  # type: ignore[union-attr]
        await asyncio.sleep(60)

    tasks.declare(closes)
    lazy = LazyLoop(tasks.processor, tasks.ended)
    lazy.run(held())
    outcome = tasks.outcome()
    assert isinstance(outcome, Retried)
    assert "its event loop was closed by a task" in outcome.reason
    lazy.stop()


def test_leaving_a_loop_that_is_blocked_gives_the_next_task_another(tasks: Tasks) -> None:
    """Nobody waits for what blocks it."""
    gate, began = threading.Event(), threading.Event()

    async def blocks() -> None:
        if not began.is_set():
            began.set()
            gate.wait(60)

    tasks.declare(blocks)
    lazy = LazyLoop(tasks.processor, tasks.ended)
    lazy.run(held())
    assert began.wait(60)
    lazy.leave()
    lazy.run(held())
    assert ACKED == tasks.outcome()
    gate.set()
    lazy.stop()


def test_without_a_thread_an_async_task_comes_back(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    """It uses no attempt, and the next one has its loop as soon as there is a thread."""
    tasks.declare(nothing)
    lazy = LazyLoop(tasks.processor, tasks.ended)
    machine = NoThreads(monkeypatch)
    lazy.run(held())
    outcome = tasks.outcome()
    assert isinstance(outcome, Snoozed)
    assert outcome.why is Why.NO_LOOP
    assert lazy.starved
    machine.exhausted = False
    lazy.run(held())
    assert ACKED == tasks.outcome()
    assert not lazy.starved
    lazy.stop()


@pytest.mark.parametrize("kind", [ValueError, SystemExit, NoText])
def test_a_policy_for_loops_that_raises_costs_no_thread(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    """The app may have set one that makes other loops; the task comes back, and uses no attempt."""
    tasks.declare(nothing)
    lazy = LazyLoop(tasks.processor, tasks.ended)

    def fail() -> asyncio.AbstractEventLoop:
        raise kind

    monkeypatch.setattr(asyncio, "new_event_loop", fail)
    lazy.run(held())
    outcome = tasks.outcome()
    assert isinstance(outcome, Snoozed)
    assert outcome.why is Why.NO_LOOP
    lazy.stop()


def test_after_stop_nothing_starts(tasks: Tasks) -> None:
    """What is taken in the last moment has been given up by then."""
    tasks.declare(nothing)
    lazy = LazyLoop(tasks.processor, tasks.ended)
    lazy.stop()
    lazy.run(held())
    assert tasks.outcomes.empty()
