"""Connections of the drivers themselves: psycopg's, sync and async, pymysql's and sqlite3's."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any, Final

from cloudq.errors import TransactionRefused
from cloudq.user_database import refusals
from cloudq.user_database.database import NoSync
from cloudq.user_database.statements import NOTHING, Answer, Dialect, Move, Statement, Step
from cloudq.user_database.sync_database import SyncDatabase

_IDLE: Final = 0  # PQTRANS_IDLE
_IN_TRANSACTION: Final = 1  # SERVER_STATUS_IN_TRANS of the protocol of MySQL
_END: Final = "connection.commit() or .rollback()"


def of_dbapi(given: Any) -> PsycopgDatabase | AsyncPsycopgDatabase | PyMySQLDatabase | SQLiteDatabase | None:
    """The database behind a driver's connection, or `None` if it is no connection."""
    if isinstance(given, sqlite3.Connection):
        return SQLiteDatabase(given)
    # Only what the program has imported can have made it.
    if (psycopg := sys.modules.get("psycopg")) is not None:
        if isinstance(given, psycopg.Connection):
            return PsycopgDatabase(given)
        if isinstance(given, psycopg.AsyncConnection):
            return AsyncPsycopgDatabase(given)
    if (pymysql := sys.modules.get("pymysql")) is not None and isinstance(given, pymysql.connections.Connection):
        return PyMySQLDatabase(given)
    return None


class PsycopgDatabase(SyncDatabase):
    """psycopg's sync connection. It begins a transaction with the first statement."""

    dialect = Dialect.POSTGRESQL

    def _begin(self) -> None:
        _check_psycopg(self.given, Move.BEGIN)

    def _join(self) -> None:
        _check_psycopg(self.given, Move.JOIN)

    def _stay(self) -> None:
        _check_psycopg(self.given, Move.STAY)

    def _execute(self, statement: Statement) -> Answer:
        from psycopg.rows import tuple_row

        with self.given.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(statement.in_pyformat(), dict(statement.values))
            return _answer(cursor)


class AsyncPsycopgDatabase(NoSync):
    """psycopg's async connection."""

    dialect = Dialect.POSTGRESQL

    def __init__(self, connection: Any) -> None:
        self.given = connection

    async def ado(self, step: Step, /) -> Answer:
        """Carries a step out."""
        if isinstance(step, Move):
            match step:
                case Move.BEGIN | Move.JOIN | Move.STAY:
                    _check_psycopg(self.given, step)
                case Move.COMMIT:
                    await self.given.commit()
                case Move.ROLLBACK:
                    await self.given.rollback()
                case Move.FLUSH:
                    pass
            return NOTHING
        from psycopg.rows import tuple_row

        async with self.given.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(step.in_pyformat(), dict(step.values))
            return Answer(await cursor.fetchall() if cursor.description else (), cursor.rowcount)


def _check_psycopg(connection: Any, move: Move) -> None:
    if connection.closed:
        raise TransactionRefused("the connection is closed", hint="open it in the task, or take it from a pool")
    if move is Move.BEGIN and int(connection.pgconn.pipeline_status):
        raise TransactionRefused(
            "the connection is in pipeline mode, whose errors come too late", hint="leave connection.pipeline() before"
        )
    idle = int(connection.info.transaction_status) == _IDLE
    if move is Move.BEGIN and not idle:
        raise refusals.already_open(_END)
    if move is Move.STAY and idle:
        raise refusals.ended()
    if connection.autocommit and idle:
        raise refusals.autocommit("without autocommit=True")


class PyMySQLDatabase(SyncDatabase):
    """pymysql's connection."""

    dialect = Dialect.MYSQL

    def _begin(self) -> None:
        if self._is_open():
            raise refusals.already_open(_END)
        self._refuse_autocommit()
        self.given.begin()

    def _join(self) -> None:
        if not self._is_open():
            self._refuse_autocommit()

    def _stay(self) -> None:
        if not self.given.server_status & _IN_TRANSACTION:
            raise refusals.ended()

    def _is_open(self) -> bool:
        if not self.given.open:
            raise TransactionRefused("the connection is closed", hint="open it in the task")
        return bool(self.given.server_status & _IN_TRANSACTION)

    def _refuse_autocommit(self) -> None:
        if self.given.get_autocommit():
            raise refusals.autocommit("without autocommit=True")

    def _execute(self, statement: Statement) -> Answer:
        from pymysql.cursors import Cursor

        with self.given.cursor(Cursor) as cursor:
            cursor.execute(statement.in_pyformat(), dict(statement.values))
            return _answer(cursor)


class SQLiteDatabase(SyncDatabase):
    """sqlite3's connection, however it was told to begin transactions."""

    given: sqlite3.Connection
    dialect = Dialect.SQLITE

    def _begin(self) -> None:
        said = self._autocommit()
        if said is True:
            raise refusals.autocommit("without autocommit=True")
        # With autocommit=False one is always open, and nothing says whether anything was done in it.
        if said is not False:
            if self.given.in_transaction:
                raise refusals.already_open(_END)
            self.given.execute("BEGIN IMMEDIATE")

    def _join(self) -> None:
        connection = self.given
        if not connection.in_transaction and (self._autocommit() is True or connection.isolation_level is None):
            raise refusals.autocommit("on which a transaction was begun")

    def _stay(self) -> None:
        if not self.given.in_transaction:
            raise refusals.ended()

    def _autocommit(self) -> object:
        return getattr(self.given, "autocommit", None)  # from Python 3.12 on; -1 for what it was before

    def _execute(self, statement: Statement) -> Answer:
        cursor = self.given.cursor()
        try:
            cursor.row_factory = None
            cursor.execute(statement.text, dict(statement.values))
            return _answer(cursor)
        finally:
            cursor.close()


def _answer(cursor: Any) -> Answer:
    return Answer(cursor.fetchall() if cursor.description else (), cursor.rowcount)
