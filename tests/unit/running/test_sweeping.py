"""Old records go little by little, beside a worker's tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq import App
from cloudq.core.store import ClaimKey
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import StoreUnavailable
from cloudq.running.sweeping import BATCH, EVERY, PAUSE, Sweep, Sweeper, add_sweep, sweeping, sweeps_of
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock

Job = Callable[[], object]


class Plan:
    """What is to run, and after how long."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Job, timedelta]] = []

    def later(self, job: Job, *, delay: timedelta) -> None:
        self.jobs.append((job, delay))

    def run(self) -> timedelta:
        """Runs what is planned, which is one job; says after how long."""
        [(job, delay)] = self.jobs
        self.jobs.clear()
        job()
        return delay


class Rows:
    """A table with so many rows that may go."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []

    def sweep(self, limit: int) -> int:
        self.asked.append(limit)
        gone = min(limit, self.count)
        self.count -= gone
        return gone


def swept(plan: Plan, spread: float = 0.5, **sweeps: Sweep) -> Sweeper:
    return Sweeper(sweeps, later=plan.later, spread=lambda: spread)


def test_a_batch_at_a_time_until_nothing_is_left() -> None:
    """With a pause between two, in which others get their turn; then at the usual distance."""
    plan, rows = Plan(), Rows(2 * BATCH + 1)
    swept(plan, rows=rows.sweep).begin()
    assert [plan.run() for _ in range(4)] == [EVERY / 2, PAUSE, PAUSE, EVERY]
    assert rows.count == 0
    assert rows.asked == [BATCH] * 4


@pytest.mark.parametrize(("spread", "first", "next_"), [(0.0, 0.0, 0.5), (1.0, 1.0, 1.5)])
def test_workers_that_start_together_look_at_different_times(spread: float, first: float, next_: float) -> None:
    """The first time at any moment of the interval, then within half of it around the usual distance."""
    plan = Plan()
    swept(plan, spread, rows=Rows(0).sweep).begin()
    assert [plan.run(), plan.run()] == [EVERY * first, EVERY * next_]


def test_all_are_swept_whatever_one_says(caplog: pytest.LogCaptureFixture) -> None:
    """A store that is down keeps no other table full; it is said once an outage, and tried at each look."""
    plan, rows = Plan(), Rows(3)
    down = [StoreUnavailable("down"), StoreUnavailable("down"), None, ValueError("odd"), StoreUnavailable("again")]

    def fails(limit: int) -> int:
        error = down.pop(0)
        if error is not None:
            raise error
        return 0

    swept(plan, store=fails, rows=rows.sweep).begin()
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            plan.run()
    assert rows.count == 0
    assert down == []
    assert [record.message for record in caplog.records] == [
        "store could not be swept: down",
        "store could not be swept",
    ]
    assert len(plan.jobs) == 1


def test_where_there_is_nothing_to_sweep_nothing_is_planned() -> None:
    """No thread is started for it."""
    plan = Plan()
    swept(plan).begin()
    assert plan.jobs == []


def test_the_end_is_the_last_look(caplog: pytest.LogCaptureFixture) -> None:
    """What it meets closed is no fault."""
    plan = Plan()
    asked: list[int] = []

    def closed(limit: int) -> int:
        asked.append(limit)
        sweeper.end()
        raise StoreUnavailable("closed")

    sweeper = swept(plan, store=closed)
    sweeper.begin()
    plan.run()
    assert (plan.jobs, caplog.records) == ([], [])
    sweeper.look()
    assert (plan.jobs, asked) == ([], [BATCH])


def test_an_apps_store_is_swept_with_what_was_added(tmp_path: Path) -> None:
    """The store's claims and notes together; other tables by whoever knows them."""
    app = App(f"sqlite:///{tmp_path}/q.db")
    rows = Rows(7)
    add_sweep(app, "the inbox", rows.sweep)
    sweeps = sweeps_of(app)
    assert list(sweeps) == ["the store of idempotency keys", "the inbox"]
    assert [sweep(5) for sweep in sweeps.values()] == [0, 5]
    app.close()
    native = App(f"sqlite:///{tmp_path}/q.db", store="none")
    assert sweeps_of(native) == {}


def test_old_records_are_gone_after_a_while() -> None:
    """Beside whatever else runs, by the app's clock."""
    clock = FakeClock()
    store = MemoryStore(clock)
    minute = timedelta(minutes=1)
    key = ClaimKey("t", "k")
    app = App("memory://")
    with app.using(MemoryDriver(clock=clock), clock=clock), app.runtime.stores.lend(store), sweeping(app):
        store.claim(key, owner="me", lease=minute, fingerprint=None, keep=minute)
        until = time.monotonic() + 60
        while store._records and time.monotonic() < until:
            clock.advance(timedelta(seconds=1))  # the thread looks when it gets its turn
        assert not store._records
