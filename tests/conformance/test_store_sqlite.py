"""The store conformance kit on SQLite, in a file of its own and beside the embedded backend."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.stores.sqlite import SqliteStore
from cloudq.testing.clock import FakeClock
from cloudq.testing.stores import StoreConformance, StoreHarness
from tests.conformance import store_model

pytestmark = pytest.mark.slow
EXAMPLES = 60


class SqliteHarness(StoreHarness):
    """A file of its own a test."""

    def __init__(self, path: Path, *, driver: bool = False) -> None:
        self.path = path
        self.clock = FakeClock()
        self.driver = SQLiteDriver(path, clock=self.clock) if driver else None

    def open(self, namespace: str = "kit") -> SqliteStore:
        return SqliteStore(self.path, namespace, clock=self.clock)

    def advance(self, delta: timedelta) -> None:
        self.clock.advance(delta)

    def step(self, delta: timedelta) -> None:
        self.clock.step(delta)

    def close(self) -> None:
        if self.driver is not None:
            self.driver.close()


class TestSqliteStore(StoreConformance):
    """A file that only stores use."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path
        self.files = 0

    def harness(self) -> StoreHarness:
        self.files += 1
        return SqliteHarness(self.path / f"{self.files}.db")

    def test_every_sequence_of_calls(self) -> None:
        """As the table says, calls and times in any order."""
        store_model.check(self.harness, examples=EXAMPLES)


class TestBesideTheBackend(StoreConformance):
    """The file of the embedded backend, which is open."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cloudq.db"

    def harness(self) -> StoreHarness:
        return SqliteHarness(self.path, driver=True)
