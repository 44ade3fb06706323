"""The three databases: SQLite in a file, and servers of the tests' own where their packages are installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text


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
