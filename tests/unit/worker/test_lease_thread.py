"""The lease keeper's thread: wakes when something is due, notices that the machine slept, and outlives everything."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import pytest

from cloudq.core.delivery import Lease
from cloudq.core.driver import Capabilities, ExtendResult
from cloudq.core.threads import Threads
from cloudq.testing.clock import FakeClock
from cloudq.worker import steady_thread
from cloudq.worker.lease_thread import LeaseThread
from cloudq.worker.leases import LeaseKeeper
from tests.unit.worker.fakes import delivery, until

LEASE = timedelta(seconds=120)
SECOND = timedelta(seconds=1)


class Setup:
    """A keeper whose backend grants all, and its thread."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.extended = 0
        self.capabilities_error: BaseException | None = None
        self.pool = Threads("cloudq-test-extend", 1, clock=self.clock)
        self.keeper = LeaseKeeper(
            self.extend,
            lease=lambda _: LEASE,
            settle_timeout=LEASE,
            capabilities=self.capabilities,
            clock=self.clock,
            run=self.pool.submit,
        )
        self.thread = LeaseThread(self.keeper, self.clock)

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        self.extended += len(leases)
        return [ExtendResult(expires_at=self.clock.now() + by, ends=self.clock.elapsed() + by) for _ in leases]

    def capabilities(self, queue: str) -> Capabilities:
        if self.capabilities_error is not None:
            raise self.capabilities_error
        return Capabilities(max_batch=10, max_body=1000)

    def pass_time(self, delta: timedelta) -> None:
        """Once the thread waits."""
        self.clock.until_waiting(1)
        self.clock.advance(delta)

    def until(self, predicate: Callable[[], object]) -> None:
        """Wakes the thread meanwhile: it may have looked before a step of the clock, and begun to wait after it."""
        until(lambda: predicate() or self.clock.advance(timedelta(0)))


@pytest.fixture
def setup() -> Iterator[Setup]:
    setup = Setup()
    setup.thread.start()
    yield setup
    setup.thread.stop()
    setup.pool.close()
    until(lambda: not setup.thread.alive)


def test_it_extends_in_time(setup: Setup) -> None:
    """It sleeps until something is due, and notices what is attached meanwhile."""
    setup.clock.until_waiting(1)
    setup.keeper.attach([delivery(setup.clock)])
    for _ in range(60):
        setup.pass_time(SECOND)
    setup.until(lambda: setup.extended == 1)


def test_a_machine_that_slept_notices_within_a_second(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait doesn't count the time asleep, so none under a lease is longer than a second."""
    wait, waits = setup.clock.wait, list[timedelta | None]()

    def note(condition: threading.Condition, timeout: timedelta | None) -> bool:
        waits.append(timeout)
        return wait(condition, timeout)

    monkeypatch.setattr(setup.clock, "wait", note)
    [held] = setup.keeper.attach([delivery(setup.clock)])
    until(lambda: [wait for wait in waits if wait is not None], what="the thread waits for the lease")
    setup.clock.until_waiting(1)
    setup.clock.suspend(2 * LEASE)
    assert not held.lost.is_set()
    setup.pass_time(SECOND)
    assert held.lost.wait(60)
    assert 0 == setup.extended
    assert {SECOND} == {timeout for timeout in waits if timeout is not None}


@pytest.mark.parametrize("error", [SystemExit(1), ValueError("a driver's slip")])
def test_nothing_ends_it(
    setup: Setup, error: BaseException, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a driver raises costs a round, is logged once, and the lease is extended by a later one."""
    monkeypatch.setattr(steady_thread, "PAUSE_SECONDS", 0.001)
    setup.keeper.attach([delivery(setup.clock)])
    setup.capabilities_error = error
    setup.pass_time(LEASE / 2)
    setup.until(lambda: "renewing leases failed" in caplog.text)
    setup.capabilities_error = None
    setup.until(lambda: setup.extended == 1)
    assert setup.thread.alive
    assert 1 == caplog.text.count("renewing leases failed")


def test_a_logging_filter_that_raises_does_not_end_it(setup: Setup) -> None:
    """Not even where it raises SystemExit: the lease is lost, its holder is told, the next one is extended."""

    def refuse(record: logging.LogRecord) -> bool:
        raise SystemExit

    logging.getLogger("cloudq.worker").addFilter(refuse)
    try:
        setup.clock.until_waiting(1)
        [held] = setup.keeper.attach([delivery(setup.clock)])
        setup.clock.suspend(LEASE)
        setup.pass_time(SECOND)
        setup.until(held.lost.is_set)
        setup.keeper.attach([delivery(setup.clock)])
        setup.pass_time(LEASE / 2)
        setup.until(lambda: setup.extended == 1)
    finally:
        logging.getLogger("cloudq.worker").removeFilter(refuse)


def test_a_machine_without_threads_extends_all_the_same(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started for the call, the keeper's own makes it."""
    monkeypatch.setattr(setup.pool, "submit", lambda _: False)
    setup.keeper.attach([delivery(setup.clock)])
    setup.pass_time(LEASE / 2)
    setup.until(lambda: setup.extended == 1)
