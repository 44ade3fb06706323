"""The store conformance kit on PostgreSQL and MariaDB, started by the tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, delete, table

from cloudq.stores.sql.dialect import TABLE, MySQL, PostgreSQL
from cloudq.stores.sql.store import SqlStore
from cloudq.testing.stores import StoreConformance, StoreHarness
from tests.conformance import store_model
from tests.servers import databases

pytestmark = pytest.mark.slow
EXAMPLES = 60


class SqlHarness(StoreHarness):
    """The server's own time, and what the test adds to it."""

    unit = timedelta(seconds=10)

    def __init__(self, url: str, kind: type[PostgreSQL | MySQL]) -> None:
        self.url = url
        self.added = 0
        self.kind = kind
        harness = self

        class Shifted(kind):  # type: ignore[misc, valid-type]  # one of the two
            """Its time moves on as the test says."""

            @property
            def now(self) -> str:
                return f"({self.real} + {harness.added})"

            @now.setter
            def now(self, real: str) -> None:
                self.real = real

        self.dialect = Shifted()
        store = self.open()
        store.create_tables()
        store.close()
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(delete(table(TABLE)))
        engine.dispose()

    def open(self, namespace: str = "kit") -> SqlStore:
        return SqlStore(create_engine(self.url), namespace, self.dialect)

    def advance(self, delta: timedelta) -> None:
        self.added += delta // timedelta(microseconds=1)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    server = databases.PostgreSQL()
    yield server.url
    server.close()


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    server = databases.MariaDB()
    yield server.url
    server.close()


class TestPostgreSQL(StoreConformance):
    """PostgreSQL of Debian's package."""

    @pytest.fixture(autouse=True)
    def server(self, postgresql: str) -> None:
        self.url = postgresql

    def harness(self) -> StoreHarness:
        return SqlHarness(self.url, PostgreSQL)

    def test_every_sequence_of_calls(self) -> None:
        """As the table says, calls and times in any order."""
        store_model.check(self.harness, examples=EXAMPLES)


class TestMariaDB(StoreConformance):
    """MariaDB of Debian's package."""

    @pytest.fixture(autouse=True)
    def server(self, mariadb: str) -> None:
        self.url = mariadb

    def harness(self) -> StoreHarness:
        return SqlHarness(self.url, MySQL)

    def test_every_sequence_of_calls(self) -> None:
        """As the table says, calls and times in any order."""
        store_model.check(self.harness, examples=EXAMPLES)
