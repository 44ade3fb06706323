"""Rows in the user's transaction: kept and undone with it, numbered in the order of commits, never in a circle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from cloudq.errors import SchemaMismatch, TransactionBroken, TransactionRefused
from cloudq.outbox.opening import create_tables, open_outbox
from cloudq.outbox.reading import OutboxReader, Parked
from cloudq.outbox.writing import NewRow, Ordered, key_digest
from cloudq.user_database import Statement, opened, run
from tests.unit.outbox.conftest import at_once, by_key, count, drop_tables, publish_all, rows, send, write


@contextmanager
def ordered(connection: Connection) -> Iterator[Ordered]:
    """A block on a connection."""
    made = Ordered(opened(connection).dialect, "")
    yield made
    run(opened(connection), made.number())


def test_what_is_rolled_back_is_never_read(engine: Engine, reader: OutboxReader) -> None:
    """And what is committed is, once."""
    with engine.connect() as connection:
        write(connection, "undone", "k:undone")
        connection.rollback()
        write(connection, "a", "k:1")
        connection.commit()
    assert publish_all(reader) == ["a", "k:1"]
    assert count(engine) == 0


def test_nothing_is_read_before_the_commit(engine: Engine, reader: OutboxReader) -> None:
    """However often somebody looks."""
    if engine.dialect.name == "sqlite":
        pytest.skip("a reader waits for SQLite's one writer")
    with engine.connect() as connection:
        write(connection, "a", "k:1")
        assert reader.take(10) is None
        connection.commit()
    assert publish_all(reader) == ["a", "k:1"]


def test_a_savepoint_takes_its_sends_along(engine: Engine, reader: OutboxReader) -> None:
    """Those that were rolled back to it are gone, those around it are numbered."""
    with engine.begin() as connection, ordered(connection) as block:
        database = opened(connection)
        run(database, block.add(rows("k:1")))
        database.do(Statement("savepoint s"))
        run(database, block.add(rows("k:undone", "undone", "other:undone")))
        database.do(Statement("rollback to savepoint s"))
        run(database, block.add(rows("k:2", "a")))
    assert publish_all(reader) == ["a", "k:1", "k:2"]


def test_the_order_of_a_key_is_that_of_the_commits(engine: Engine, reader: OutboxReader) -> None:
    """Also where the later one was inserted first."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    with engine.connect() as first, engine.connect() as second:
        late = Ordered(opened(first).dialect, "")
        run(opened(first), late.add(rows("k:late")))
        write(second, "k:early")
        second.commit()
        run(opened(first), late.number())
        first.commit()
    assert publish_all(reader) == ["k:early", "k:late"]


def test_many_transactions_of_one_key_are_in_the_order_of_their_commits(engine: Engine, reader: OutboxReader) -> None:
    """A transaction that has numbered its rows holds up the others until it ends, so the last one seen counts."""
    committed: list[str] = []
    lock = threading.Lock()

    def transactions(thread: int) -> None:
        for turn in range(8):
            with engine.connect() as connection, lock if engine.dialect.name == "sqlite" else _nothing():
                write(connection, f"k:{thread}.{turn}.a", f"k:{thread}.{turn}.b")
                # Nobody else has the key now, nor before the commit.
                committed.extend([f"k:{thread}.{turn}.a", f"k:{thread}.{turn}.b"])
                connection.commit()

    at_once(*[lambda thread=thread: transactions(thread) for thread in range(4)])  # type: ignore[misc]
    assert publish_all(reader, limit=7) == committed


def test_two_keys_in_both_orders_never_wait_in_a_circle(engine: Engine, reader: OutboxReader) -> None:
    """All transactions end, though each holds its keys until its commit."""
    keys = [f"key{index}" for index in range(6)]
    lock = threading.Lock()

    def transactions(thread: int) -> None:
        for turn in range(12):
            order = keys if thread % 2 else list(reversed(keys))
            with engine.connect() as connection, lock if engine.dialect.name == "sqlite" else _nothing():
                with ordered(connection) as block:
                    for key in order:
                        run(opened(connection), block.add(rows(f"{key}:{thread}.{turn:02}")))
                if turn % 3:
                    connection.commit()
                else:
                    connection.rollback()

    at_once(*[lambda thread=thread: transactions(thread) for thread in range(4)])  # type: ignore[misc]
    published = publish_all(reader)
    assert len(published) == 4 * 8 * len(keys)
    for names in by_key(published).values():
        for thread in range(4):
            own = [name for name in names if f":{thread}." in name]
            assert own == sorted(own)


def test_a_key_s_order_is_one_of_its_queue_and_namespace() -> None:
    """The same key elsewhere is another key; no two sets of parts have the same digest."""
    digests = {
        key_digest(namespace, queue, key)
        for namespace in ("", "a")
        for queue in ("q", "qa")
        for key in ("k", "ak", "\ud800")
    }
    assert len(digests) == 2 * 2 * 3


def test_many_rows_are_few_statements(engine: Engine) -> None:
    """By number and by bytes."""
    steps = list(Ordered(opened_dialect(engine), "").add(rows(*[str(index) for index in range(1_001)])))
    assert [step.text.count("(:namespace") for step in steps if isinstance(step, Statement)] == [500, 500, 1]
    large = [NewRow(queue="q", task="t", body=b"x" * 3_000_000) for _ in range(3)]
    assert len(list(Ordered(opened_dialect(engine), "").add(large))) == 1 + 3


def opened_dialect(engine: Engine):  # type: ignore[no-untyped-def]
    """The engine's dialect as scripts have it."""
    with engine.connect() as connection:
        return opened(connection).dialect


def test_many_rows_arrive(engine: Engine, reader: OutboxReader) -> None:
    """In their order, with and without keys, and whatever bytes they hold."""
    names = [f"k{index % 7}:{index}" if index % 2 else str(index) for index in range(1_203)]
    with engine.begin() as connection, ordered(connection) as block:
        run(opened(connection), block.add(rows(*names)))
        run(opened(connection), block.add([NewRow(queue="q", task="t", body=bytes(range(256)))]))
    batches: list[bytes] = []
    while (batch := reader.take(400)) is not None:
        batches += [row.body for row in batch.rows]
        batch.settle(published=[row.id for row in batch.rows])
    assert bytes(range(256)) in batches
    batches.remove(bytes(range(256)))
    published = [body.decode() for body in batches]
    assert sorted(published) == sorted(names)
    assert by_key(published) == by_key(names)


def test_a_key_may_hold_what_a_text_of_the_database_can_t(engine: Engine, reader: OutboxReader) -> None:
    """It is shown otherwise; which key it is its digest says."""
    send(engine, "a\0b:1", "a\ufffdb:2")
    batch = reader.take(10)
    assert batch is not None
    assert [row.ordering_key for row in batch.rows] == ["a\ufffdb"] * 2
    batch.settle(parked=[Parked(batch.rows[0].id, "no")], published=[batch.rows[1].id])
    assert reader.parked(10)[0].behind == 0


def test_rows_that_were_committed_within_the_block_are_published_all_the_same(
    engine: Engine, reader: OutboxReader
) -> None:
    """Before they are numbered they have no place in their key, but none is lost."""
    with engine.connect() as connection:
        block = Ordered(opened(connection).dialect, "")
        run(opened(connection), block.add(rows("k:1", "k:2")))
        connection.commit()
        with pytest.raises(TransactionBroken, match="ended within the block"):
            run(opened(connection), block.number())
        assert not connection.in_transaction()
    assert publish_all(reader) == ["k:1", "k:2"]


def test_a_savepoint_around_the_first_send_may_be_released(engine: Engine, reader: OutboxReader) -> None:
    """As at the end of an inner `atomic` block: the transaction is still the same."""
    with engine.begin() as connection, ordered(connection) as block:
        with connection.begin_nested():
            run(opened(connection), block.add(rows("k:1")))
        run(opened(connection), block.add(rows("k:2")))
    assert publish_all(reader) == ["k:1", "k:2"]


def test_a_connection_that_commits_by_itself_is_refused(engine: Engine) -> None:
    """Nothing is stored."""
    own = engine.execution_options(isolation_level="AUTOCOMMIT")
    with own.connect() as connection, pytest.raises(TransactionRefused, match="commits each statement by itself"):
        write(connection, "a")
    assert count(engine) == 0


def test_a_database_without_the_tables_says_so(engine: Engine, url: str) -> None:
    """At the send."""
    drop_tables(url)
    with engine.connect() as connection, pytest.raises(SchemaMismatch, match="aren't in this database"):
        write(connection, "a")


@pytest.mark.slow
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
def test_each_isolation_level(server: str, level: str, request: pytest.FixtureRequest) -> None:
    """That another one sent to the key meanwhile is no conflict for a transaction that can't see it."""
    pytest.importorskip({"postgresql": "psycopg", "mariadb": "pymysql"}[server])
    url = request.getfixturevalue(server)
    drop_tables(url)
    create_tables(url)
    engine, reader = create_engine(url), open_outbox(url)
    own = engine.execution_options(isolation_level=level)
    with own.connect() as first:
        if server == "mariadb":  # as it is from 11.6 on
            with suppress(DBAPIError):
                first.exec_driver_sql("set session innodb_snapshot_isolation = 1")
            first.commit()
        first.execute(text("select count(*) from cloudq_outbox_schema")).all()  # its snapshot begins
        send(engine, "k:1")
        write(first, "k:2")
        first.commit()
        with suppress(DBAPIError):
            first.exec_driver_sql("set session innodb_snapshot_isolation = 0")
    assert publish_all(reader) == ["k:1", "k:2"]
    reader.close()
    engine.dispose()


@contextmanager
def _nothing() -> Iterator[None]:
    yield
