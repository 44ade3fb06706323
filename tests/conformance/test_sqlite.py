"""The conformance kit on the SQLite driver, each client with its own connection to the file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.core.driver import PullDriver
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.testing.clock import FakeClock
from cloudq.testing.conformance import DriverConformance, Harness


class SQLiteHarness(Harness):
    """One file, on a fake clock. The durability of commits is other tests' business, so they are the cheaper ones."""

    sets_the_clock = True

    def __init__(
        self, path: Path, *, queue: str = "conformance", dedup_window: timedelta = timedelta(minutes=5)
    ) -> None:
        super().__init__(clock=FakeClock(), queue=queue)
        self.path = path
        self.dedup_window = dedup_window

    def open(self) -> PullDriver:
        return SQLiteDriver(self.path, clock=self.clock, synchronous="normal", dedup_window=self.dedup_window)

    def second_client(self) -> PullDriver:
        return self.open()


class TestSQLite(DriverConformance):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return SQLiteHarness(tmp_path / "cloudq.db")


class TestSQLiteOrdered(DriverConformance):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return SQLiteHarness(tmp_path / "cloudq.db", queue="conformance.fifo")


class TestSQLiteWithoutDeduplication(DriverConformance):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        return SQLiteHarness(tmp_path / "cloudq.db", dedup_window=timedelta(0))
