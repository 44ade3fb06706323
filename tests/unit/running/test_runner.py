"""What edges that a host invokes have in common."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Self

import pytest
from msgspec.structs import replace

from cloudq import App, Context, Rate
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, DUPLICATE, Acked, DeadLettered, Retried, Snoozed, Why
from cloudq.core.policy import RetryPolicy
from cloudq.drivers.memory import MemoryDriver
from cloudq.running.awaited_runs import AwaitedRun
from cloudq.running.runner import HostRunner, Once
from cloudq.testing.clock import FakeClock
from tests.observing import Told
from tests.unit.worker.fakes import NoNotes, NoText, until


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
            with pytest.raises(KeyboardInterrupt):
                runner.run(AwaitedRun(delivery, clock))
            return runner.run(running)  # not as one that is in its own way
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


class Host:
    """A runner whose tasks the test holds up, and one message that is handed over to it again and again.

    Attributes:
        calls: How often its task was called.
        most: How many of these were under way at once.
    """

    def __init__(self, *, is_async: bool, then: Callable[[], Awaitable[None]] | None = None) -> None:
        self.app, self.clock = App("memory://"), FakeClock()
        self.started, self.goes_on = threading.Event(), threading.Event()
        self.contexts: list[Context] = []
        self.calls = self.most = self._under_way = 0
        self._then = then

        def t(context: Context) -> None:
            self._hold(context)

        async def at(context: Context) -> None:
            first = not self.calls
            self._hold(context)  # which blocks the loop
            if first and self._then is not None:
                await self._then()

        self.app.task("t")(at if is_async else t)
        driver = MemoryDriver(clock=self.clock)
        self._lent = ExitStack()
        self._lent.enter_context(self.app.using(driver, clock=self.clock))
        self.app.send("t")
        (self._first,) = driver.receive("default", limit=1, wait=timedelta(0), lease=LEASE)
        self.runner = HostRunner(self.app)
        self._deliveries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lent.close()

    def _hold(self, context: Context) -> None:
        self.calls += 1
        self._under_way += 1
        self.most = max(self.most, self._under_way)
        self.contexts.append(context)
        if self.calls == 1:
            self.started.set()
            assert self.goes_on.wait(60), "nobody let it go on"
        self._under_way -= 1

    def handed_over(self) -> AwaitedRun:
        """The message once more."""
        self._deliveries += 1
        lease = replace(self._first.lease, ends=self.clock.elapsed() + LEASE)
        return AwaitedRun(replace(self._first, deliveries=self._deliveries, lease=lease), self.clock)

    @contextmanager
    def running(self) -> Iterator[AwaitedRun]:
        """Its first run, which doesn't end before the block lets it or ends itself."""
        run = self.handed_over()
        thread = threading.Thread(target=self.runner.run, args=[run])
        thread.start()
        try:
            assert self.started.wait(60)
            yield run
        finally:
            self.goes_on.set()
            thread.join(60)
            until(lambda: not self.runner._going_on)
            self.runner.leave_behind([run])

    def run(self) -> object:
        return self.runner.run(self.handed_over())


LEASE = timedelta(minutes=1)
KINDS = pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])


@KINDS
def test_a_message_does_not_run_beside_its_own_unfinished_run(is_async: bool) -> None:
    """One that was left behind: a redelivery goes back uncounted, and once that run has succeeded it is done."""
    with Host(is_async=is_async) as host:
        with host.running() as run:
            run.give_up()
            host.runner.leave_behind([run])
            outcomes = [host.run(), host.run()]
            assert [Snoozed, Snoozed] == [type(one) for one in outcomes]
            waits = [(Why.UNSTARTED, timedelta(seconds=5)), (Why.UNSTARTED, timedelta(seconds=10))]
            assert waits == [(one.why, one.delay) for one in outcomes if isinstance(one, Snoozed)]
        assert host.run() is DUPLICATE
        assert 1 == host.calls


def test_a_run_that_ends_while_its_message_is_turned_away_has_done_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at what runs here and the note that it was turned away: there is time for a line of the log."""
    with Host(is_async=False) as host:
        with host.running():

            def let_it_end(_: Delivery) -> None:
                host.goes_on.set()
                until(lambda: not host.runner._going_on)

            monkeypatch.setattr(host.runner, "_tell_of_lost_lease", let_it_end)
            assert isinstance(host.run(), Snoozed)
        assert host.run() is DUPLICATE
        assert 1 == host.calls


def test_a_run_that_ends_with_its_loop_is_in_nobodys_way() -> None:
    """It was left behind, and is cancelled as soon as it lets the loop go on: it hasn't done its work."""
    with Host(is_async=True, then=lambda: asyncio.sleep(60)) as host:
        with host.running() as run:
            run.give_up()
            host.runner.leave_behind([run])
            assert isinstance(host.run(), Snoozed)
        assert ACKED == host.run()
        assert (2, 1) == (host.calls, host.most)


def test_a_run_that_hangs_is_in_the_way_for_ten_leases() -> None:
    """Its lease is over: it can see that once the message is there again. In the end others have their turn."""
    with Host(is_async=False) as host, host.running():
        assert isinstance(host.run(), Snoozed)
        assert not host.contexts[0].lease_lost.is_set()
        host.clock.advance(LEASE)
        assert isinstance(host.run(), Snoozed)
        assert host.contexts[0].lease_lost.is_set()
        assert isinstance(host.run(), Snoozed), "from here on its lease counts as over"
        host.clock.advance(10 * LEASE)
        assert ACKED == host.run()
        assert 2 == host.most
