"""Background jobs: on threads of their own, now or later."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cloudq.running.background import Background
from cloudq.testing.clock import FakeClock
from tests.unit.worker.fakes import until


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_job_runs_on_another_thread(clock: FakeClock) -> None:
    """A job never runs in the thread that submits it."""
    background = Background("cloudq-test", threads=1, clock=clock)
    names: list[str] = []
    background.submit(lambda: names.append(threading.current_thread().name))
    until(lambda: names == ["cloudq-test-1"])
    background.close()


def test_a_delayed_job_waits_for_its_time(clock: FakeClock) -> None:
    """A delayed job runs when its time has come, after those that are due earlier."""
    background = Background("cloudq-test", threads=1, clock=clock)
    ran: list[int] = []
    background.submit(lambda: ran.append(2), delay=timedelta(seconds=2))
    background.submit(lambda: ran.append(1), delay=timedelta(seconds=1))
    background.submit(lambda: ran.append(0))
    until(lambda: ran == [0])
    clock.until_waiting(1)
    clock.advance(timedelta(seconds=2))
    until(lambda: ran == [0, 1, 2])
    background.close()


def test_a_job_that_hangs_delays_no_other(clock: FakeClock) -> None:
    """A second thread is started when the first is busy."""
    background = Background("cloudq-test", threads=2, clock=clock)
    gate, ran = threading.Event(), threading.Event()
    background.submit(lambda: gate.wait(10))
    background.submit(ran.set)
    assert ran.wait(10)
    gate.set()
    background.close()


def test_a_job_that_fails_ends_nothing(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """A slip in a job is logged with its traceback, and the thread goes on."""
    background = Background("cloudq-test", threads=1, clock=clock)
    ran = threading.Event()
    background.submit(lambda: int("x"))
    background.submit(ran.set)
    assert ran.wait(10)
    assert "ValueError" in caplog.text
    background.close()


def test_close_ends_the_threads(clock: FakeClock) -> None:
    """After close the threads end and jobs that weren't due are dropped."""
    background = Background("cloudq-gone", threads=1, clock=clock)
    ran: list[int] = []
    background.submit(lambda: ran.append(1), delay=timedelta(seconds=1))
    clock.until_waiting(1)
    background.close()
    until(lambda: not [one for one in threading.enumerate() if one.name.startswith("cloudq-gone")])
    background.submit(lambda: ran.append(2))
    assert [] == ran
