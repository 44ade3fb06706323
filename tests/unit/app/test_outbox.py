"""`app.outbox`: what a send checks, what a block is for, and that the relay finds what a send would have stored."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from cloudq import App
from cloudq.core import wire
from cloudq.core.signatures import fault_in
from cloudq.core.signing_keys import parse_signing_keys
from cloudq.errors import (
    ConfigurationError,
    MessageTooLarge,
    OptionError,
    PayloadError,
    TransactionBroken,
    TransactionRefused,
    UnsupportedError,
)
from cloudq.outbox.opening import create_tables, open_outbox
from cloudq.telemetry import instrument
from tests.unit.telemetry.telling import Told

KEYS = "one:" + "ab" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The user's SQLite file, with the tables."""
    file = tmp_path / "user.db"
    file.touch()
    create_tables(f"sqlite:///{file}")
    return file


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    """The user's own connection."""
    with closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.fixture
def app() -> Iterator[App]:
    """An app with a task, whose backend is memory."""
    app = App("memory://")

    @app.task("shop.pay", queue="pay.fifo")
    def pay(order: int) -> None: ...

    @app.task("shop.note", queue="mail")
    def note(order: int) -> None: ...

    yield app
    app.close()


def rows(path: Path, namespace: str = ""):  # type: ignore[no-untyped-def]
    """What a relay is given, as messages."""
    with closing(open_outbox(f"sqlite:///{path}", namespace)) as reader:
        batch = reader.take(100)
        return [] if batch is None else [wire.decode(row.body, row.queue) for row in batch.rows]


def test_what_a_relay_decodes_is_what_was_sent(app: App, connection: sqlite3.Connection, path: Path) -> None:
    """All of a message's parts; the id is that of the `Sent`."""
    with app.outbox(connection) as outbox:
        sent = outbox.send(
            "shop.pay",
            {"order": 7},
            ordering_key="customer-1",
            idempotency_key="order-7",
            headers={"tenant": "a"},
        )
        late = outbox.send("other", {"a": [1]}, queue="mail", delay=timedelta(hours=1))
    connection.commit()
    other, message = rows(path)
    assert (message.id, message.task, message.queue, message.payload) == (sent.id, "shop.pay", "pay.fifo", {"order": 7})
    assert (message.ordering_key, message.idempotency_key, message.headers) == (
        "customer-1",
        "order-7",
        {"tenant": "a"},
    )
    assert (sent.duplicate, sent.receipt) == (None, None)
    assert (other.id, other.queue) == (late.id, "mail")
    assert other.not_before is not None
    assert other.sent_at is not None
    assert other.not_before - other.sent_at == timedelta(hours=1)


def test_nothing_is_sent_by_the_outbox_itself(app: App, connection: sqlite3.Connection) -> None:
    """The backend sees none of it before a relay."""
    app.outbox(connection).send("other", queue="mail")
    connection.commit()
    assert app.queue("mail").stats().ready == 0


def test_a_rollback_takes_it_along(app: App, connection: sqlite3.Connection, path: Path) -> None:
    """With all else of the transaction."""
    app.outbox(connection).send("other", queue="mail")
    connection.rollback()
    assert rows(path) == []


def test_an_exception_within_the_block_leaves_the_decision_to_the_transaction(
    app: App, connection: sqlite3.Connection, path: Path
) -> None:
    """What is committed after it is sent, in order; and the exception goes on."""
    with suppress(ZeroDivisionError), app.outbox(connection) as outbox:
        outbox.send("shop.pay", {"order": 1}, ordering_key="a")
        raise ZeroDivisionError
    with app.outbox(connection) as outbox:
        outbox.send("shop.pay", {"order": 2}, ordering_key="a")
    connection.commit()
    assert connection.execute("select count(*) from cloudq_outbox where number < 0").fetchone() == (0,)
    assert [message.payload for message in rows(path)] == [{"order": 1}, {"order": 2}]


def test_an_ordering_key_needs_a_block(app: App, connection: sqlite3.Connection, path: Path) -> None:
    """Also after one has ended."""
    outbox = app.outbox(connection)
    with outbox:
        outbox.send("shop.pay", {"order": 1}, ordering_key="a")
    for _ in range(2):
        with pytest.raises(OptionError, match="within a block"):
            outbox.send("shop.pay", {"order": 2}, ordering_key="a")
    connection.commit()
    assert len(rows(path)) == 1


def test_what_a_send_refuses_is_refused_before_anything_is_stored(
    app: App, connection: sqlite3.Connection, path: Path
) -> None:
    """Payload, options, what the queue can't do, and its size."""
    with app.outbox(connection) as outbox:
        with pytest.raises(PayloadError):
            outbox.send("shop.pay", {"order": "seven"})
        with pytest.raises(OptionError):
            outbox.send("other", delay=5)  # type: ignore[arg-type]
        with pytest.raises(UnsupportedError):
            outbox.send("other", queue="mail", ordering_key="a")
        with pytest.raises(MessageTooLarge):
            outbox.send("other", {"text": "x" * 50_000_000}, queue="mail")
    connection.commit()
    assert rows(path) == []


def test_many_at_once_are_all_stored_or_none(app: App, connection: sqlite3.Connection, path: Path) -> None:
    """In order; one that can't be sent stops all of them."""
    note = app.tasks["shop.note"]
    outbox = app.outbox(connection)
    sent = outbox.send_many(note.call(order=index) for index in range(5))
    with pytest.raises(OptionError, match="send_many takes calls"):
        outbox.send_many([note.call(order=6), "other"])  # type: ignore[list-item]
    connection.commit()
    assert [message.id for message in rows(path)] == [each.id for each in sent]


def test_what_is_stored_is_signed_as_a_send_signs_it(connection: sqlite3.Connection, path: Path) -> None:
    """And the signature fits what the relay will publish."""
    app = App("memory://", signing_keys=KEYS)
    app.outbox(connection).send("other", {"a": 1}, queue="mail")
    connection.commit()
    (message,) = rows(path)
    assert message.sealed is not None
    assert fault_in(wire.encode(message), parse_signing_keys(KEYS, "keys")) is None
    app.close()


def test_a_large_payload_is_stored_whole_where_there_is_a_store_for_it(
    connection: sqlite3.Connection, path: Path, tmp_path: Path
) -> None:
    """The relay puts it into the store, not the producer."""
    store = tmp_path / "payloads"
    app = App("memory://", claim_check=f"file://{store}?threshold=2048")
    app.outbox(connection).send("other", {"text": "x" * 5_000}, queue="mail")
    connection.commit()
    assert rows(path)[0].payload == {"text": "x" * 5_000}
    assert not store.exists()
    app.close()


def test_a_session_of_sqlalchemy_s(app: App, path: Path) -> None:
    """Its transaction is the one; a nested one that is rolled back takes its sends along."""
    engine = create_engine(f"sqlite:///{path}")
    with Session(engine) as session, session.begin(), app.outbox(session) as outbox:
        outbox.send("shop.pay", {"order": 1}, ordering_key="a")
        session.connection().exec_driver_sql("savepoint s")
        outbox.send("shop.pay", {"order": 2}, ordering_key="a")
        session.connection().exec_driver_sql("rollback to savepoint s")
    assert [message.payload for message in rows(path)] == [{"order": 1}]
    engine.dispose()


def test_a_session_that_is_committed_within_the_block(app: App, path: Path) -> None:
    """It is said, and no transaction is left open with the key locked."""
    engine = create_engine(f"sqlite:///{path}")
    with Session(engine) as session:
        outbox = app.outbox(session).__enter__()
        outbox.send("shop.pay", {"order": 1}, ordering_key="a")
        session.commit()
        with pytest.raises(TransactionBroken, match="ended within the block"):
            outbox.__exit__(None, None, None)
        assert not session.in_transaction()
    assert [message.payload for message in rows(path)] == [{"order": 1}]
    engine.dispose()


def test_django_s_atomic_block(app: App, path: Path, django_site: None) -> None:
    """An inner one that is undone takes its sends along; without a block nothing is stored."""
    from django.db import connections, transaction

    own = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)}
    connections.settings["shop"] = connections.configure_settings({"default": {}, "shop": own})["shop"]
    try:
        with transaction.atomic(using="shop"), app.outbox(using="shop") as outbox:
            outbox.send("shop.pay", {"order": 1}, ordering_key="a")
            with suppress(ZeroDivisionError), transaction.atomic(using="shop"):
                outbox.send("shop.pay", {"order": 2}, ordering_key="a")
                raise ZeroDivisionError
            outbox.send("shop.pay", {"order": 3}, ordering_key="a")
        with pytest.raises(TransactionRefused, match="commits each statement by itself"):
            app.outbox(using="shop").send("shop.note", {"order": 4})
        outbox = app.outbox(using="shop").__enter__()
        with transaction.atomic(using="shop"):
            outbox.send("shop.pay", {"order": 5}, ordering_key="b")
        with pytest.raises(TransactionBroken, match="ended within the block"):
            outbox.__exit__(None, None, None)
    finally:
        connections["shop"].close()
        del connections["shop"]
        del connections.settings["shop"]
    sent = [(message.ordering_key, message.payload["order"]) for message in rows(path)]
    assert [order for key, order in sent if key == "a"] == [1, 3]
    assert ("b", 5) in sent


@pytest.mark.slow
def test_psycopg_s_async_connection(app: App, postgresql: str) -> None:
    """Within its transaction, as SQLAlchemy's."""
    psycopg = pytest.importorskip("psycopg")
    create_tables(postgresql)

    async def sends() -> None:
        async with await psycopg.AsyncConnection.connect(postgresql.replace("+psycopg", "")) as connection:
            await connection.execute("delete from cloudq_outbox")
            async with app.outbox(connection) as outbox:
                await outbox.asend("shop.pay", {"order": 1}, ordering_key="a")
                await outbox.asend_many([app.tasks["shop.note"].call(order=2)])
            await connection.commit()
            await app.outbox(connection).asend("shop.note", {"order": 3})
            await connection.rollback()

    asyncio.run(sends())
    with closing(open_outbox(postgresql)) as reader:
        batch = reader.take(10)
        assert batch is not None
        assert sorted(row.task for row in batch.rows) == ["shop.note", "shop.pay"]
        batch.settle(published=[row.id for row in batch.rows])


def test_a_connection_that_isn_t_one_is_refused(app: App) -> None:
    """With those that are known."""
    with pytest.raises(TransactionRefused) as raised:
        app.outbox(object())
    assert "psycopg" in str(raised.value.hint)


def test_each_app_s_namespace_is_its_own(connection: sqlite3.Connection, path: Path) -> None:
    """The relay of another one is given nothing of it."""
    app = App("memory://", outbox_namespace="shop")
    app.outbox(connection).send("other", queue="mail")
    connection.commit()
    assert rows(path) == []
    assert len(rows(path, "shop")) == 1
    app.close()
    with pytest.raises(ConfigurationError, match="outbox_namespace is a text"):
        App(outbox_namespace="shop ")


def test_eager_runs_it_at_once(app: App, connection: sqlite3.Connection, path: Path) -> None:
    """As with every other send: nothing is stored."""
    ran: list[int] = []

    @app.task("note")
    def note(number: int) -> None:
        ran.append(number)

    async def sends() -> None:
        await app.outbox(connection).asend(note, {"number": 3})

    with app.eager():
        app.outbox(connection).send(note, {"number": 1})
        app.outbox(connection).send_many([note.call(number=2)])
        asyncio.run(sends())
    assert ran == [1, 2, 3]
    connection.commit()
    assert rows(path) == []


def test_async_sends_on_an_async_connection(app: App, path: Path) -> None:
    """The same, awaited; a sync connection has no async sends."""
    pytest.importorskip("greenlet")
    pytest.importorskip("aiosqlite")
    from sqlalchemy.ext.asyncio import create_async_engine

    async def sends() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        async with engine.begin() as connection, app.outbox(connection) as outbox:
            await outbox.asend("shop.pay", {"order": 1}, ordering_key="a")
            await outbox.asend_many([app.tasks["shop.note"].call(order=2)])
        await engine.dispose()

    asyncio.run(sends())
    assert sorted(str(message.payload) for message in rows(path)) == ["{'order': 1}", "{'order': 2}"]


def test_a_sync_connection_isn_t_awaited(app: App, connection: sqlite3.Connection) -> None:
    """It says what to write instead."""

    async def sends() -> None:
        await app.outbox(connection).asend("other", queue="mail")

    with pytest.raises(TransactionRefused, match="no async one"):
        asyncio.run(sends())


def test_another_backend_isn_t_opened_before_the_first_send(connection: sqlite3.Connection) -> None:
    """A producer that only imports it has none."""
    app = App("memory://")
    with app.outbox(connection):
        assert not app.is_open


def test_a_message_belongs_to_the_trace_that_stored_it(app: App, connection: sqlite3.Connection, path: Path) -> None:
    """The relay makes no span of its own: the run is a child of the send in the transaction."""
    told = Told()
    instrument(app, tracer_provider=told.tracers, metrics=False)
    with app.outbox(connection) as outbox:
        outbox.send("shop.note", {"order": 1})
    connection.commit()
    [message] = rows(path)
    context = told.spans()["send mail"].get_span_context()
    assert message.headers["traceparent"].startswith(f"00-{context.trace_id:032x}-{context.span_id:016x}-")
