"""SQLAlchemy's connections and sessions on all three databases."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from cloudq.errors import TransactionRefused
from cloudq.user_database import Move, Script, Statement, arun, opened, run
from tests.unit.user_database.conftest import effects

INSERT = "insert into effect (name, note) values (:name, :note)"
ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}


def one(name: str, end: Move) -> Script[list[tuple[Any, ...]]]:
    """A transaction with one row, which is read again."""
    yield Move.BEGIN
    answer = yield Statement(INSERT, {"name": name, "note": b"\x00\xff'%:"})
    assert answer.changed == 1
    found = yield Statement("select name, note from effect where name = :name", {"name": name})
    yield Move.FLUSH
    yield end
    return [tuple(row) for row in found.rows]


@pytest.fixture
def never_committing(engine: Engine) -> dict[str, Any]:
    """What makes connections of sqlite3 on which commit() does nothing."""
    if engine.dialect.name != "sqlite":
        pytest.skip("a mode of sqlite3's")
    if sys.version_info < (3, 12):
        pytest.skip("needs Python 3.12, where sqlite3's autocommit is new")
    return {"connect_args": {"autocommit": True}}


@pytest.fixture
def autocommit(engine: Engine) -> Iterator[Engine]:
    """An engine whose connections commit each statement."""
    if engine.dialect.name == "sqlite":
        pytest.skip("BEGIN IMMEDIATE begins one in each of sqlite3's modes")
    own = create_engine(engine.url, isolation_level="AUTOCOMMIT")
    yield own
    own.dispose()


class TestConnection:
    def test_commit_and_rollback(self, engine: Engine) -> None:
        """What is committed is there, what is rolled back isn't; parameters of any bytes arrive."""
        with engine.connect() as connection:
            assert run(opened(connection), one("a", Move.COMMIT)) == [("a", b"\x00\xff'%:")]
            run(opened(connection), one("b", Move.ROLLBACK))
            run(opened(connection), one("c", Move.COMMIT))
        assert effects(engine) == ["a", "c"]

    def test_one_that_is_open_is_refused(self, engine: Engine) -> None:
        """Its statements stay, for those who began it."""
        with engine.connect() as connection:
            connection.execute(text(INSERT), {"name": "before", "note": None})
            with pytest.raises(TransactionRefused, match="open on this connection already"):
                run(opened(connection), one("a", Move.COMMIT))
            connection.commit()
        assert effects(engine) == ["before"]

    def test_autocommit_is_refused(self, engine: Engine, autocommit: Engine) -> None:
        """Of the engine or of the connection; sqlite3 begins one all the same, where it is told to."""
        for own in (engine.execution_options(isolation_level="AUTOCOMMIT"), autocommit):
            with own.connect() as connection, pytest.raises(TransactionRefused, match="autocommit"):
                run(opened(connection), one("a", Move.COMMIT))
            with own.connect() as connection, pytest.raises(TransactionRefused, match="autocommit"):
                opened(connection).do(Move.JOIN)
        assert effects(engine) == []

    def test_what_sqlite3_would_never_commit_is_refused(self, engine: Engine, never_committing: dict[str, Any]) -> None:
        """A transaction can be begun there, and its commit does nothing: the task would succeed without its effect."""
        own = create_engine(engine.url, **never_committing)
        for move in (Move.BEGIN, Move.JOIN):
            with own.connect() as connection, pytest.raises(TransactionRefused, match="autocommit"):
                opened(connection).do(move)
            with Session(own) as session, pytest.raises(TransactionRefused, match="autocommit"):
                opened(session).do(move)
        own.dispose()

    def test_a_transaction_of_sqlite_is_one_from_its_beginning(self, engine: Engine) -> None:
        """Also where the user's own event begins it."""
        if engine.dialect.name != "sqlite":
            pytest.skip("servers begin it by themselves")
        with engine.connect() as connection:
            opened(connection).do(Move.BEGIN)
            assert connection.connection.dbapi_connection.in_transaction  # type: ignore[union-attr]
            connection.rollback()
        own = create_engine(engine.url)
        event.listen(own, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        event.listen(own, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        with own.connect() as connection:
            run(opened(connection), one("a", Move.COMMIT))
        own.dispose()
        assert effects(engine) == ["a"]

    def test_join_takes_an_open_one(self, engine: Engine) -> None:
        """Nothing is begun or ended."""
        with engine.connect() as connection:
            connection.execute(text(INSERT), {"name": "before", "note": None})
            opened(connection).do(Move.JOIN)
            opened(connection).do(Statement(INSERT, {"name": "within", "note": None}))
            connection.rollback()
        assert effects(engine) == []

    def test_errors_are_the_librarys_own(self, engine: Engine) -> None:
        """A unique value twice."""
        with engine.connect() as connection:
            run(opened(connection), one("a", Move.COMMIT))
            with pytest.raises(IntegrityError):
                run(opened(connection), one("a", Move.COMMIT))


class TestSession:
    def test_commit_and_rollback(self, engine: Engine) -> None:
        """As a connection's."""
        with Session(engine) as session:
            assert run(opened(session), one("a", Move.COMMIT)) == [("a", b"\x00\xff'%:")]
            run(opened(session), one("b", Move.ROLLBACK))
        assert effects(engine) == ["a"]

    def test_one_that_is_open_is_refused(self, engine: Engine) -> None:
        """In the session, or in the connection that it is bound to: its commit would commit nothing."""
        with Session(engine) as session:
            session.execute(text("select 1"))
            with pytest.raises(TransactionRefused, match="open on this connection already"):
                opened(session).do(Move.BEGIN)
        with (
            engine.connect() as connection,
            connection.begin(),
            Session(connection) as session,
            pytest.raises(TransactionRefused, match="open on this connection already"),
        ):
            opened(session).do(Move.BEGIN)

    def test_autocommit_is_refused(self, autocommit: Engine) -> None:
        """And the session can be used afterwards."""
        with Session(autocommit) as session:
            with pytest.raises(TransactionRefused, match="autocommit"):
                opened(session).do(Move.BEGIN)
            assert not session.in_transaction()

    def test_one_without_a_database_of_its_own(self) -> None:
        """Its statements may go anywhere."""
        with pytest.raises(TransactionRefused, match="no database of its own"):
            opened(Session())


class TestAsync:
    @pytest.fixture
    def url_of_async(self, engine: Engine) -> str:
        pytest.importorskip("greenlet")
        name = engine.dialect.name
        if name not in ASYNC_DRIVERS:
            pytest.skip("no async driver for it is among the tests' packages")
        if name == "sqlite":
            pytest.importorskip("aiosqlite")
        return engine.url.set(drivername=ASYNC_DRIVERS[name]).render_as_string(hide_password=False)

    def test_connections_and_sessions(self, engine: Engine, url_of_async: str) -> None:
        """Commit, rollback, and what a sync `with` says."""

        async def check(given: AsyncConnection | AsyncSession, name: str) -> None:
            database = opened(given)
            assert await arun(database, one(name, Move.COMMIT)) == [(name, b"\x00\xff'%:")]
            await arun(database, one("gone", Move.ROLLBACK))
            with pytest.raises(TransactionRefused, match="async with"):
                database.do(Move.BEGIN)

        async def all_of_it() -> None:
            own = create_async_engine(url_of_async)
            async with own.connect() as connection:
                await check(connection, "a")
            async with AsyncSession(own) as session:
                await check(session, "b")
                await session.execute(text("select 1"))
                with pytest.raises(TransactionRefused, match="open on this connection already"):
                    await arun(opened(session), one("c", Move.COMMIT))
            await own.dispose()

        asyncio.run(all_of_it())
        assert effects(engine) == ["a", "b"]

    def test_what_sqlite3_would_never_commit_is_refused(
        self, url_of_async: str, never_committing: dict[str, Any]
    ) -> None:
        """As by a sync connection; aiosqlite itself doesn't say in which mode it is."""

        async def all_of_it() -> None:
            own = create_async_engine(url_of_async, **never_committing)
            for move in (Move.BEGIN, Move.JOIN):
                async with own.connect() as connection:
                    with pytest.raises(TransactionRefused, match="autocommit"):
                        await opened(connection).ado(move)
            await own.dispose()

        asyncio.run(all_of_it())

    def test_a_connection_of_sqlite3_that_only_its_own_thread_may_ask(self, engine: Engine) -> None:
        """As each of aiosqlite's to a database in memory, whose thread isn't the loop's."""
        if engine.dialect.name != "sqlite":
            pytest.skip("a matter of sqlite3's")

        async def all_of_it() -> None:
            own = create_async_engine("sqlite+aiosqlite://")
            for move in (Move.BEGIN, Move.JOIN):
                async with own.connect() as connection:
                    await opened(connection).ado(move)
                    assert connection.in_transaction()
            await own.dispose()

        asyncio.run(all_of_it())

    def test_one_that_is_not_open_yet(self, url_of_async: str) -> None:
        """It has no database so far."""
        with pytest.raises(TransactionRefused, match="isn't open yet"):
            opened(create_async_engine(url_of_async).connect())
