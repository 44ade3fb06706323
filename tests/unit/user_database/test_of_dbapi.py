"""Connections of psycopg, pymysql and sqlite3, by themselves."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Engine

from cloudq.errors import TransactionBroken, TransactionRefused
from cloudq.user_database import Move, Statement, arun, opened, run
from tests.unit.user_database.conftest import effects, engine_with_table
from tests.unit.user_database.test_of_sqlalchemy import INSERT, one


def connect(engine: Engine, **options: Any) -> Any:
    """A connection of the driver to the engine's database."""
    if engine.dialect.name == "sqlite":
        return sqlite3.connect(str(engine.url.database), **options)
    place = {"host": engine.url.host, "port": engine.url.port, "user": engine.url.username}
    if engine.dialect.name == "postgresql":
        import psycopg

        return psycopg.connect(**place, dbname=engine.url.database, **options)  # type: ignore[arg-type]
    import pymysql

    return pymysql.connect(**place, database=engine.url.database, **options)


class TestEach:
    def test_commit_and_rollback(self, engine: Engine) -> None:
        """What is committed is there, what is rolled back isn't; parameters of any bytes arrive."""
        with closing(connect(engine)) as connection:
            assert run(opened(connection), one("a", Move.COMMIT)) == [("a", b"\x00\xff'%:")]
            run(opened(connection), one("b", Move.ROLLBACK))
            run(opened(connection), one("c", Move.COMMIT))
            opened(connection).do(Move.ROLLBACK)  # none is open
        assert effects(engine) == ["a", "c"]

    def test_one_that_is_open_is_refused(self, engine: Engine) -> None:
        """Its statements stay, for those who began it."""
        with closing(connect(engine)) as connection:
            opened(connection).do(Statement(INSERT, {"name": "before", "note": None}))
            with pytest.raises(TransactionRefused, match="open on this connection already"):
                run(opened(connection), one("a", Move.COMMIT))
            connection.commit()
        assert effects(engine) == ["before"]

    def test_stay_takes_an_open_one_alone(self, engine: Engine) -> None:
        """One that was committed or rolled back is over."""
        with closing(connect(engine)) as connection:
            for end in (connection.commit, connection.rollback):
                opened(connection).do(Statement(INSERT, {"name": end.__name__, "note": None}))
                opened(connection).do(Move.STAY)
                end()
                with pytest.raises(TransactionBroken, match="ended within the block"):
                    opened(connection).do(Move.STAY)

    def test_join_takes_an_open_one_and_one_that_begins_by_itself(self, engine: Engine) -> None:
        """Nothing is begun or ended."""
        with closing(connect(engine)) as connection:
            for name in ("a", "b"):
                opened(connection).do(Move.JOIN)
                opened(connection).do(Statement(INSERT, {"name": name, "note": None}))
            connection.rollback()
        assert effects(engine) == []

    def test_rows_are_tuples_whatever_the_users_settings(self, engine: Engine) -> None:
        """The user's row factories and cursor classes aren't ours."""
        with closing(connect(engine, **_with_dictionaries(engine))) as connection:
            assert run(opened(connection), one("a", Move.COMMIT)) == [("a", b"\x00\xff'%:")]

    def test_an_async_with_is_refused(self, engine: Engine) -> None:
        """These are sync."""
        with closing(connect(engine)) as connection, pytest.raises(TransactionRefused, match="not async with"):
            asyncio.run(arun(opened(connection), one("a", Move.COMMIT)))


def _with_dictionaries(engine: Engine) -> dict[str, Any]:
    if engine.dialect.name == "postgresql":
        from psycopg.rows import dict_row

        return {"row_factory": dict_row}
    if engine.dialect.name == "mysql":
        from pymysql.cursors import DictCursor

        return {"cursorclass": DictCursor}
    return {"factory": _WithRows}


class _WithRows(sqlite3.Connection):
    """A user's, whose rows are no tuples."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row_factory = lambda _, row: list(row)


class TestServers:
    @pytest.fixture(params=["postgresql", "mariadb"])
    def engine(self, request: pytest.FixtureRequest) -> Iterator[Engine]:
        pytest.importorskip({"postgresql": "psycopg", "mariadb": "pymysql"}[request.param])
        yield from engine_with_table(request.getfixturevalue(request.param))

    def test_autocommit_is_refused(self, engine: Engine) -> None:
        """Unless the user has begun one, and it is to be joined."""
        with closing(connect(engine, autocommit=True)) as connection:
            for move in (Move.BEGIN, Move.JOIN):
                with pytest.raises(TransactionRefused, match="autocommit"):
                    opened(connection).do(move)
            with connection.cursor() as cursor:
                cursor.execute("begin")
            opened(connection).do(Move.JOIN)

    def test_a_closed_one_is_refused(self, engine: Engine) -> None:
        """Before anything is done."""
        connection = connect(engine)
        connection.close()
        with pytest.raises(TransactionRefused, match="closed"):
            opened(connection).do(Move.BEGIN)


class TestPsycopgAsync:
    @pytest.fixture
    def engine(self, postgresql: str) -> Iterator[Engine]:
        pytest.importorskip("psycopg")
        yield from engine_with_table(postgresql)

    def test_commit_and_rollback(self, engine: Engine) -> None:
        """As the sync one's; a sync `with` is refused."""
        import psycopg

        async def all_of_it() -> None:
            place = {"host": engine.url.host, "port": engine.url.port, "user": engine.url.username}
            made: Any = psycopg.AsyncConnection.connect(**place, dbname=engine.url.database)  # type: ignore[arg-type]
            connection = await made
            assert await arun(opened(connection), one("a", Move.COMMIT)) == [("a", b"\x00\xff'%:")]
            await arun(opened(connection), one("b", Move.ROLLBACK))
            with pytest.raises(TransactionRefused, match="async with"):
                opened(connection).do(Move.BEGIN)
            await connection.execute("select 1")
            with pytest.raises(TransactionRefused, match="open on this connection already"):
                await opened(connection).ado(Move.BEGIN)
            await connection.close()

        asyncio.run(all_of_it())
        assert effects(engine) == ["a"]


class TestSQLite:
    @pytest.fixture
    def path(self, tmp_path: Any) -> str:
        path = str(tmp_path / "user.db")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("create table effect (name text unique, note blob)")
        return path

    def test_in_each_of_its_modes(self, path: str) -> None:
        """However the user has sqlite3 begin its transactions."""
        modes: list[dict[str, Any]] = [{"isolation_level": None}, {"isolation_level": "EXCLUSIVE"}]
        if sys.version_info >= (3, 12):
            modes.append({"autocommit": False})
        for number, mode in enumerate(modes):
            with closing(sqlite3.connect(path, **mode)) as connection:
                run(opened(connection), one(f"kept {number}", Move.COMMIT))
                run(opened(connection), one(f"undone {number}", Move.ROLLBACK))
        with closing(sqlite3.connect(path)) as connection:
            names = [row[0] for row in connection.execute("select name from effect")]
        assert names == [f"kept {number}" for number in range(len(modes))]

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brought it")
    def test_autocommit_is_refused(self, path: str) -> None:
        """commit() and rollback() do nothing then."""
        options: dict[str, Any] = {"autocommit": True}
        with closing(sqlite3.connect(path, **options)) as connection:
            for move in (Move.BEGIN, Move.JOIN):
                with pytest.raises(TransactionRefused, match="autocommit"):
                    opened(connection).do(move)

    def test_join_without_one_is_refused(self, path: str) -> None:
        """Nothing would begin one."""
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            with pytest.raises(TransactionRefused, match="autocommit"):
                opened(connection).do(Move.JOIN)
            connection.execute("begin")
            opened(connection).do(Move.JOIN)
