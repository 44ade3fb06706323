"""The three databases: SQLite in a file, and servers of the tests' own where their packages are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from tests.unit.worker.fakes import until


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each of the three."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'user.db'}"
    pytest.importorskip({"postgresql": "psycopg", "mariadb": "pymysql"}[request.param])
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An engine with the empty table `effect`."""
    yield from engine_with_table(url)


def engine_with_table(url: str) -> Iterator[Engine]:
    """An engine with the empty table `effect`."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("drop table if exists effect"))
        connection.execute(
            text(
                "create table effect (name varchar(100) not null unique, note blob)".replace(
                    "blob", "bytea" if engine.dialect.name == "postgresql" else "blob"
                )
            )
        )
    yield engine
    engine.dispose()


def effects(engine: Engine) -> list[str]:
    """What the table holds, as others see it."""
    with engine.connect() as connection:
        return [str(row[0]) for row in connection.execute(text("select name from effect order by name"))]


def wait_for_a_lock(engine: Engine) -> None:
    """Returns once somebody waits for a lock on PostgreSQL, which looks for a deadlock only once in each wait."""
    if engine.dialect.name == "postgresql":
        waiting = text(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid() and wait_event_type = 'Lock'"
        )
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            until(lambda: connection.execute(waiting).scalar())
