"""The settler: how long a settlement is tried."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.app import App
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable
from cloudq.worker import settler
from tests.unit.worker.fakes import Unreliable, running, until


def test_a_settlement_is_tried_until_the_lease_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond settle_timeout the lease isn't renewed, but while it lasts finished work is still acknowledged."""
    monkeypatch.setattr(settler, "LONGEST_PAUSE", timedelta(milliseconds=20))
    driver = Unreliable(MemoryDriver())
    app = App("memory://")
    runs: list[int] = []
    app.task("once")(lambda: runs.append(1))
    driver.failing["settle"] = BackendUnavailable("down")
    with app.using(driver):
        app.send("once")
        with running(app, settle_timeout=timedelta(milliseconds=50)) as worker:
            # Each try is made only if the one before didn't give up: five take longer than the time-out.
            until(lambda: driver.calls["settle"] >= 5)
            del driver.failing["settle"]
            until(lambda: not worker.worker.snapshot().settling)
        stats = app.queue("default").stats()
    assert [1] == runs
    assert (0, 0) == (stats.ready, stats.in_flight)


def test_a_settlement_is_given_up_when_the_lease_is_over() -> None:
    """What can't be settled while its lease lasts is dropped, and handed over again."""
    driver = Unreliable(MemoryDriver())
    app = App("memory://")
    runs: list[int] = []
    app.task("often")(lambda: runs.append(1))
    driver.failing["settle"] = BackendUnavailable("down")
    with app.using(driver):
        app.send("often")
        with running(app, lease=timedelta(milliseconds=250), settle_timeout=timedelta(milliseconds=50)):
            until(lambda: len(runs) >= 2)
            del driver.failing["settle"]
