"""An outbox on a server: rows are held by a transaction, which ends with its connection, or with its lease."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import Engine, create_engine, text

from cloudq.errors import SchemaMismatch, StoreUnavailable
from cloudq.outbox.opening import create_tables, open_outbox
from tests.unit.outbox.conftest import bodies, drop_tables, publish, publish_all, send

pytestmark = pytest.mark.slow


@pytest.fixture(params=["postgresql", "mariadb"])
def url(request: pytest.FixtureRequest) -> str:
    """Each of the servers."""
    pytest.importorskip({"postgresql": "psycopg", "mariadb": "pymysql"}[request.param])
    url: str = request.getfixturevalue(request.param)
    drop_tables(url)
    create_tables(url)
    return url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The user's own engine."""
    engine = create_engine(url)
    yield engine
    engine.dispose()


def end_others(engine: Engine) -> None:
    """Has the server end all other connections, as one that restarts does."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
            return
        found = connection.execute(
            text("select id from information_schema.processlist where db = database() and id <> connection_id()")
        )
        for (id_,) in found.all():
            connection.exec_driver_sql(f"kill {id_}")


def test_a_cut_connection_frees_what_it_held(engine: Engine, url: str) -> None:
    """Its settlement fails, nothing of it is written, and its reader goes on by itself."""
    send(engine, "a", "k:1")
    reader = open_outbox(url)
    batch = reader.take(10)
    assert batch is not None
    end_others(engine)
    with pytest.raises(StoreUnavailable, match="the outbox's database failed"):
        batch.settle(published=[row.id for row in batch.rows])
    assert publish_all(reader) == ["a", "k:1"]
    reader.close()


def test_a_connection_that_was_cut_between_two_looks_is_made_anew(engine: Engine, url: str) -> None:
    """Nobody is told: nothing was under way."""
    reader = open_outbox(url)
    assert reader.take(10) is None
    end_others(engine)
    send(engine, "a")
    assert publish_all(reader) == ["a"]
    reader.close()


def test_the_server_ends_a_transaction_that_stands_still(engine: Engine, url: str) -> None:
    """For longer than the lease: a reader that hangs keeps its rows no longer than that."""
    send(engine, "a", "k:1")
    with closing(open_outbox(url, lease=timedelta(seconds=1))) as stuck, closing(open_outbox(url)) as other:
        began = time.monotonic()
        batch = stuck.take(10)
        assert batch is not None
        early = other.take(10)
        assert early is None or time.monotonic() - began > 1  # a machine that stood still for as long as the lease
        published = publish(early)
        with engine.connect() as connection:
            for _ in range(200):
                published += publish(other.take(10))
                if len(published) == 2:
                    break
                sleep = "select pg_sleep(0.05)" if engine.dialect.name == "postgresql" else "select sleep(0.05)"
                connection.execute(text(sleep))
        # In any order: rows of a key and those of none are looked for one after the other, and freed in between.
        assert sorted(published) == ["a", "k:1"]
        with pytest.raises(StoreUnavailable):
            batch.settle(published=[row.id for row in batch.rows])
        send(engine, "b")
        assert bodies(stuck.take(10)) == ["b"]


def test_what_producers_have_inserted_holds_up_no_reader(engine: Engine, url: str) -> None:
    """Rows that aren't committed yet are passed over, on the way in and on the way out."""
    send(engine, "a", "k:1", "b")
    reader = open_outbox(url)
    with engine.connect() as connection:
        from tests.unit.outbox.conftest import write

        write(connection, "undone", "k:undone", "j:undone")
        connection.execute(text("select 1"))
        assert publish_all(reader, limit=2) == ["a", "b", "k:1"]
        assert reader.retry() == reader.skip([1]) == 0
        connection.rollback()
    reader.close()


def test_a_reader_holds_up_no_producer(engine: Engine, url: str) -> None:
    """Its rows are locked, and others are inserted before, between and behind them."""
    send(engine, "a", "k:1", "k:5")
    reader = open_outbox(url)
    batch = reader.take(10)
    send(engine, "b", "k:6", "j:1")
    assert publish(batch) == ["a", "k:1", "k:5"]
    assert sorted(publish_all(reader)) == ["b", "j:1", "k:6"]
    reader.close()


def test_tables_that_are_dropped_meanwhile_are_missed_by_name(engine: Engine, url: str) -> None:
    """Not as a failure of the database."""
    reader = open_outbox(url)
    drop_tables(url)
    with pytest.raises(SchemaMismatch, match="aren't in this database"):
        reader.take(1)
    with pytest.raises(SchemaMismatch, match="aren't in this database"):
        reader.status()
    reader.close()


def test_a_server_that_is_gone_says_no_password() -> None:
    """Nor anything else of the URL."""
    with pytest.raises(StoreUnavailable) as raised:
        open_outbox("postgresql://shop:geheim@127.0.0.1:1/shop")
    assert "geheim" not in str(raised.value)
