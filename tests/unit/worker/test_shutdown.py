"""From the first signal to the last settlement: what is awaited, what goes back, what the log says."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from cloudq.app import App
from cloudq.core.clock import SystemClock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Capabilities, Final, SettleResult
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable
from cloudq.testing import profiles
from cloudq.worker import shutdown as shutdown_module
from cloudq.worker.shutdown import AT_ONCE
from tests.ids import shown
from tests.unit.worker.fakes import Unreliable, running, until

WAIT = timedelta(seconds=2)


@pytest.fixture
def driver() -> Unreliable:
    return Unreliable(MemoryDriver(capabilities=profiles.sqs_like))


@pytest.fixture
def app(driver: Unreliable) -> Iterator[App]:
    app = App("memory://")
    app.task("count")(lambda: None)
    with app.using(driver):
        yield app


def test_a_poll_that_may_not_be_cut_is_awaited(app: App, driver: Unreliable, caplog: pytest.LogCaptureFixture) -> None:
    """Where a cut strands what a poll is about to bring it isn't cut: it runs out, and the log says what is awaited."""
    caplog.set_level(logging.INFO)
    with running(app, wait=WAIT) as worker:
        until(lambda: driver.calls["receive"] >= 1)
        began = time.monotonic()
        worker.worker.stop()
        assert 0 == worker.join()
        took = time.monotonic() - began
    assert took < WAIT.total_seconds() + 20
    assert 0 == driver.calls["interrupt"]
    assert any(line.startswith("waiting for the polls of default, at most") for line in caplog.messages)
    assert "hidden" not in caplog.text


def test_what_an_awaited_poll_brings_goes_back(app: App, driver: Unreliable) -> None:
    """A message that comes after the signal isn't run here, and isn't hidden from others."""
    with running(app, wait=timedelta(seconds=10)) as worker:
        until(lambda: driver.calls["receive"] >= 1)
        worker.worker.stop()
        until(lambda: worker.worker._stopping)
        app.send("count")
        assert 0 == worker.join()
    assert 0 == worker.worker.snapshot().started
    assert 1 == app.queue("default").stats().ready


def test_a_second_signal_leaves_in_the_middle_of_a_poll(
    app: App, driver: Unreliable, caplog: pytest.LogCaptureFixture
) -> None:
    """Only then it is cut, and the log names the queue that may hide something, and until when."""
    lease = timedelta(seconds=60)
    with running(app, wait=timedelta(seconds=20), lease=lease) as worker:
        until(lambda: driver.calls["receive"] >= 1)
        began = time.monotonic()
        worker.worker.stop(now=True)
        assert 0 == worker.join()
        assert time.monotonic() - began < 15
    assert 1 == driver.calls["interrupt"]
    (line,) = [line for line in caplog.messages if "hidden" in line]
    before, until_when, _ = line.replace(", until ", "|").replace(" at the latest", "|").split("|")
    assert (
        "leaving in the middle of a poll of queue default: what it was about to bring is hidden from every worker"
        == before
    )
    assert timedelta(seconds=50) < datetime.fromisoformat(until_when) - datetime.now(UTC) <= lease


class BeginsLate(MemoryDriver):
    """A poll that was only about to begin at the second signal: it begins at a second interrupt, or after a release."""

    def __init__(self) -> None:
        super().__init__()
        self.late = False
        self.interrupts = 0
        self.handed_over = 0
        self.begins = threading.Event()
        self.returned = threading.Event()

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        if self.late:
            assert self.begins.wait(20)
        deliveries = super().receive(queue, limit=limit, wait=wait, lease=lease)
        self.handed_over += len(deliveries)
        if self.late:
            self.returned.set()
        self.late = bool(deliveries)
        return deliveries

    def interrupt(self) -> None:
        super().interrupt()
        self.interrupts += 1
        if self.interrupts > 1:
            self.begins.set()

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        results = super().settle(finals)
        self.begins.set()
        assert self.returned.wait(20)
        return results


def test_a_second_signal_lets_no_poll_receive_what_is_released() -> None:
    """A poll that begins after it was to be cut is cut again, before anything goes back: that is ready for others."""
    app, driver = App("memory://"), BeginsLate()
    started, leave = threading.Event(), threading.Event()

    @app.task("wait")
    def wait() -> None:
        started.set()
        leave.wait(20)

    with app.using(driver), running(app, wait=timedelta(seconds=10), grace=timedelta(minutes=10)) as worker:
        wait.send()
        assert started.wait(60)
        assert 0 == worker.stop(now=True)
        assert (1, 1) == (driver.handed_over, app.queue("default").stats().ready)
        leave.set()


@pytest.mark.parametrize("profile", [None, profiles.service_bus_like], ids=shown)
def test_an_idle_worker_ends_at_once_where_polls_can_be_ended(profile: Callable[[str], Capabilities] | None) -> None:
    """Not only when its polls would: what they wait for is cut short."""
    app, driver = App("memory://"), Unreliable(MemoryDriver(capabilities=profile))
    app.task("count")(lambda: None)
    with app.using(driver), running(app, wait=timedelta(seconds=40)) as worker:
        until(lambda: driver.calls["receive"] >= 1)
        began = time.monotonic()
        assert 0 == worker.stop()
        assert time.monotonic() - began < 15


def test_the_log_says_which_tasks_and_settlements_are_awaited(
    app: App, driver: Unreliable, caplog: pytest.LogCaptureFixture
) -> None:
    """How many, and for how long at most."""
    caplog.set_level(logging.INFO)
    gate, started = threading.Event(), threading.Event()

    @app.task("wait")
    def wait() -> None:
        started.set()
        assert gate.wait(20)

    wait.send()
    with running(app, wait=timedelta(milliseconds=50), grace=timedelta(seconds=25)) as worker:
        assert started.wait(60)
        driver.failing["settle"] = BackendUnavailable("no route")
        worker.worker.stop()
        until(lambda: "waiting for 1 tasks, at most 25 s; a second signal leaves at once" in caplog.messages)
        gate.set()
        until(lambda: any(line.startswith("waiting for 1 settlements, at most") for line in caplog.messages))
        driver.failing.clear()
        assert 0 == worker.join()


@pytest.mark.parametrize("now", [False, True], ids=["one signal", "two"])
def test_what_comes_after_a_second_signal_has_no_more_than_is_left_of_its_time(app: App, now: bool) -> None:
    """Three seconds for all of it together."""
    gate, started = threading.Event(), threading.Event()

    @app.task("wait")
    def wait() -> None:
        started.set()
        gate.wait(60)

    wait.send()
    with running(app, wait=timedelta(milliseconds=50)) as worker:
        assert started.wait(60)
        worker.worker.stop(now=now)
        if not now:
            gate.set()
        worker.join()
    gate.set()
    patience = worker.worker._shutdown.patience()
    assert patience < AT_ONCE if now else patience == AT_ONCE


def test_a_clock_that_is_set_back_lengthens_no_grace(driver: Unreliable, caplog: pytest.LogCaptureFixture) -> None:
    """What runs is given its grace by the time that passes, though the clock is set back by an hour meanwhile."""

    class SetClock(SystemClock):
        by = timedelta(0)

        def now(self) -> datetime:
            return super().now() + self.by

    clock, app = SetClock(), App("memory://")
    gate, started = threading.Event(), threading.Event()

    @app.task("wait")
    def wait() -> None:
        started.set()
        assert gate.wait(30)

    grace, short = timedelta(milliseconds=500), timedelta(milliseconds=50)
    caplog.set_level(logging.INFO)
    with app.using(driver, clock=clock):
        wait.send()
        with running(app, wait=short, grace=grace) as worker:
            try:
                assert started.wait(60)
                worker.worker.stop()
                until(lambda: any(line.startswith("waiting for 1 tasks") for line in caplog.messages))
                clock.by = -timedelta(hours=1)
                until(lambda: "1 tasks didn't finish in time; they are released and run again" in caplog.messages)
            finally:
                gate.set()
            worker.join()


def test_a_poll_that_hangs_is_left_behind(
    app: App, driver: Unreliable, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A poll that doesn't return in time doesn't keep the worker, and the log says what that may hide."""
    monkeypatch.setattr(shutdown_module, "POLL_MARGIN", timedelta(milliseconds=300))
    hang = driver.hanging["receive"] = threading.Event()
    try:
        with running(app, wait=timedelta(milliseconds=100)) as worker:
            until(lambda: driver.calls["receive"] >= 1)
            began = time.monotonic()
            assert 0 == worker.stop()
            assert time.monotonic() - began < 15
    finally:
        hang.set()
    assert "leaving in the middle of a poll of queue default" in caplog.text
