"""The store conformance kit on PostgreSQL and MariaDB, started by the tests."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import create_engine, delete, table

from cloudq.core.store_url import parse_store_url
from cloudq.stores.sql import schema
from cloudq.stores.sql.dialect import NOTES, TABLE
from cloudq.stores.sql.mysql import MySQL
from cloudq.stores.sql.postgresql import PostgreSQL
from cloudq.stores.sql.store import SqlStore
from cloudq.stores.sql.url import engine_of
from cloudq.testing.stores import StoreConformance, StoreHarness
from tests.conformance import store_model

pytestmark = pytest.mark.slow
EXAMPLES = 25


class SqlHarness(StoreHarness):
    """The server's own time, and what the test adds to it."""

    unit = timedelta(minutes=1)  # beside which the time that passes by itself is short, also on a busy machine

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
        schema.migrate(store._engine)
        store.close()
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(delete(table(TABLE)))
            connection.execute(delete(table(NOTES)))
        engine.dispose()

    def open(self, namespace: str = "kit") -> SqlStore:
        engine = engine_of(parse_store_url(self.url), timedelta(seconds=20))
        return SqlStore(engine, namespace, self.dialect)

    def advance(self, delta: timedelta) -> None:
        self.added += delta // timedelta(microseconds=1)


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


class TestPgBouncer(StoreConformance):
    """PostgreSQL through PgBouncer of Debian's package: no two statements need lie on one connection."""

    @pytest.fixture(autouse=True)
    def server(self, pgbouncer: str) -> None:
        self.url = pgbouncer

    def harness(self) -> StoreHarness:
        return SqlHarness(self.url, PostgreSQL)


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
