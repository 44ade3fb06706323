"""An outbox on each of the three databases: SQLite in a file, and servers of the tests' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from cloudq.outbox.opening import create_tables, open_outbox
from cloudq.outbox.reading import Batch, OutboxReader
from cloudq.outbox.writing import NewRow, Ordered
from cloudq.user_database import opened, run

PARTS = ("", "_locks", "_numbers", "_schema", "_relays")
SLOW = pytest.mark.slow


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=SLOW), pytest.param("mariadb", marks=SLOW)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without the tables."""
    if request.param == "sqlite":
        file = tmp_path / "user.db"
        file.touch()
        return f"sqlite:///{file}"
    pytest.importorskip({"postgresql": "psycopg", "mariadb": "pymysql"}[request.param])
    url: str = request.getfixturevalue(request.param)
    drop_tables(url)
    return url


@pytest.fixture
def url(empty_url: str) -> str:
    """A database with the tables, all empty."""
    create_tables(empty_url)
    return empty_url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The user's own engine."""
    patience = {"timeout": 60} if url.startswith("sqlite") else {}  # for the lock: it goes to anybody who asks
    engine = create_engine(url, connect_args=patience)
    yield engine
    engine.dispose()


@pytest.fixture
def reader(url: str) -> Iterator[OutboxReader]:
    """One that reads it."""
    reader = open_outbox(url)
    yield reader
    reader.close()


@pytest.fixture
def postgresql_reader(postgresql: str) -> Iterator[OutboxReader]:
    """One on PostgreSQL."""
    pytest.importorskip("psycopg")
    drop_tables(postgresql)
    create_tables(postgresql)
    reader = open_outbox(postgresql)
    yield reader
    reader.close()


def drop_tables(url: str) -> None:
    """Drops what is there."""
    engine = create_engine(url)
    for part in PARTS:
        with suppress(DBAPIError), engine.begin() as connection:
            connection.execute(text(f"drop table cloudq_outbox{part}"))
    with suppress(DBAPIError), engine.begin() as connection:
        connection.execute(text("drop sequence cloudq_outbox_numbers"))
    engine.dispose()


def rows(*names: str, queue: str = "mail.fifo") -> list[NewRow]:
    """Rows whose bodies say what they are: `a` has no key, `k:1` has the key `k`."""
    return [
        NewRow(
            queue=queue, task="send", body=name.encode(), ordering_key=name.partition(":")[0] if ":" in name else None
        )
        for name in names
    ]


def write(connection: Connection, *names: str, namespace: str = "", queue: str = "mail.fifo") -> None:
    """Stores and numbers them in the transaction that is open."""
    database = opened(connection)
    ordered = Ordered(database.dialect, namespace)
    run(database, ordered.add(rows(*names, queue=queue)))
    run(database, ordered.number())


def send(engine: Engine, *names: str, **options: str) -> None:
    """Stores them in a transaction of their own."""
    with engine.begin() as connection:
        write(connection, *names, **options)


def bodies(batch: Batch | None) -> list[str]:
    """What was taken."""
    return [] if batch is None else [row.body.decode() for row in batch.rows]


def ids(batch: Batch, *names: str) -> list[int]:
    """The ids of those rows."""
    return [row.id for row in batch.rows if row.body.decode() in names]


def publish(batch: Batch | None) -> list[str]:
    """Settles all of it as published; what it was."""
    if batch is not None:
        batch.settle(published=[row.id for row in batch.rows])
    return bodies(batch)


def publish_all(reader: OutboxReader, limit: int = 100) -> list[str]:
    """All that there is, in the order of its publication."""
    done: list[str] = []
    while names := publish(reader.take(limit)):
        done += names
    return done


def by_key(names: Sequence[str]) -> dict[str, list[str]]:
    """The names of each key, in their order."""
    found: dict[str, list[str]] = {}
    for name in names:
        if ":" in name:
            found.setdefault(name.partition(":")[0], []).append(name)
    return found


def count(engine: Engine) -> int:
    """How many rows there are, as others see it."""
    with engine.connect() as connection:
        return int(connection.execute(text("select count(*) from cloudq_outbox")).scalar_one())


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """The results of calls in threads of their own; raises the first error."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result(60) for future in [threads.submit(call) for call in calls]]
