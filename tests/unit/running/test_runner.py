"""What edges that a host invokes have in common."""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import timedelta

import pytest

from cloudq import App, Rate
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.core.outcome import Acked, DeadLettered, Retried, Snoozed
from cloudq.core.policy import RetryPolicy
from cloudq.drivers.memory import MemoryDriver
from cloudq.running.awaited_runs import AwaitedRun
from cloudq.running.runner import HostRunner, Once
from cloudq.testing.clock import FakeClock
from tests.observing import Told
from tests.unit.worker.fakes import NoNotes, NoText


def test_something_is_made_once() -> None:
    """However many ask for it at once."""
    made = []
    once = Once(lambda: made.append(1) or len(made))
    together = threading.Barrier(4, timeout=60)
    got = []
    threads = [threading.Thread(target=lambda: (together.wait(), got.append(once()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ([1], [1] * 4) == (made, got)


def test_an_error_is_not_kept() -> None:
    """What couldn't be opened is tried again by the next invocation."""
    left = [ValueError("down")]

    def make() -> str:
        if left:
            raise left.pop()
        return "up"

    once = Once(make)
    with pytest.raises(ValueError, match="down"):
        once()
    assert once() == "up"


def test_a_limit_puts_off_what_a_host_hands_over() -> None:
    """By a copy that is due later, as the table of limits says."""
    app = App("memory://")
    app.task("t", rate=Rate("1/h", per_worker=True))(lambda: None)
    runner = HostRunner(app)
    now, clock = app.clock.now(), app.clock
    outcomes = []
    for number in "12":
        lease = Lease(queue="q", receipt=None, expires_at=now, ends=clock.elapsed() + timedelta(minutes=1))
        body = wire.encode(Message(id=number, task="t", queue="q", sent_at=now))
        delivery = Delivery.of(body, native_id=number, runs=1, deliveries=1, lease=lease)
        outcomes.append(type(runner.run(AwaitedRun(delivery, clock))))
    assert [Acked, Snoozed] == outcomes


def interrupted(in_main: bool) -> object:
    """What becomes of a task that raises KeyboardInterrupt, in the main thread or in another."""
    app, clock = App("memory://"), FakeClock()

    @app.task("t")
    def t() -> None:
        raise KeyboardInterrupt

    driver = MemoryDriver(clock=clock)
    with app.using(driver, clock=clock):
        app.send("t")
        (delivery,) = driver.receive("default", limit=1, wait=timedelta(0), lease=timedelta(60))
        runner, running = HostRunner(app), AwaitedRun(delivery, clock)
        if in_main:
            return runner.run(running)
        thread = threading.Thread(target=runner.run, args=[running])
        thread.start()
        thread.join()
        return running.outcome


def test_a_signal_in_the_main_thread_is_nobodys_failure() -> None:
    """It ends the program that calls; in another thread it can only be the task's own doing."""
    with pytest.raises(KeyboardInterrupt):
        interrupted(in_main=True)
    assert isinstance(interrupted(in_main=False), DeadLettered)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("error", "policy", "reason"),
    [
        (NoText(), RetryPolicy(), "NoText: <its text is unreadable: SystemExit>"),
        (NoNotes("x"), RetryPolicy(), "NoNotes: x"),
        (ValueError("x"), RetryPolicy(retry=lambda state: sys.exit(1)), "the retry policy raised SystemExit: 1"),
    ],
    ids=["text", "notes", "retry"],
)
def test_whatever_the_apps_code_raises_there_is_an_outcome(
    error: Exception, policy: RetryPolicy, reason: str, is_async: bool
) -> None:
    """An invocation neither fails nor waits for ever; the next one has its loop."""
    app, clock = App("memory://", retry=policy), FakeClock()

    @app.task("t")
    def t() -> None:
        raise error

    @app.task("at")
    async def at() -> None:
        raise error

    driver = MemoryDriver(clock=clock)
    with app.using(driver, clock=clock):
        runner = HostRunner(app)
        for _ in range(2):
            app.send("at" if is_async else "t")
            (delivery,) = driver.receive("default", limit=1, wait=timedelta(0), lease=timedelta(60))
            outcome = runner.run(AwaitedRun(delivery, clock))
            assert isinstance(outcome, (Retried, DeadLettered))
            assert reason == outcome.reason


def test_an_observer_is_told_of_each_run() -> None:
    """Of one that is given up, too: nothing stays in flight."""
    app, clock = App("memory://"), FakeClock()
    app.observe(told := Told())
    app.task("t")(lambda: None)
    driver = MemoryDriver(clock=clock)
    with app.using(driver, clock=clock):
        runner = HostRunner(app)
        app.send("t")
        (delivery,) = driver.receive("default", limit=1, wait=timedelta(0), lease=timedelta(60))
        runner.run(AwaitedRun(delivery, clock))

        @app.task("late")
        async def late() -> None:
            running.give_up()
            await asyncio.sleep(60)

        app.send("late")
        (delivery,) = driver.receive("default", limit=1, wait=timedelta(0), lease=timedelta(60))
        running = AwaitedRun(delivery, clock)
        assert runner.run(running) is None
        runner.leave_behind([running])
    assert [("started", "t"), ("ended", "t", "succeeded")] == told.log[1:3]
    assert [("started", "late"), ("ended", "late", "released")] == told.log[4:]
