"""Connections of the drivers themselves: psycopg's, sync and async, pymysql's and sqlite3's."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any, Final

from cloudq.errors import TransactionRefused
from cloudq.user_database import refusals
from cloudq.user_database.database import NoAsync, NoSync
from cloudq.user_database.statements import NOTHING, Answer, Dialect, Move, Step

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


class PsycopgDatabase(NoAsync):
    """psycopg's sync connection. It begins a transaction with the first statement."""

    dialect = Dialect.POSTGRESQL

    def __init__(self, connection: Any) -> None:
        self.given = connection

    def do(self, step: Step, /) -> Answer:
        """Carries a step out."""
        if isinstance(step, Move):
            match step:
                case Move.BEGIN | Move.JOIN | Move.STAY:
                    _check_psycopg(self.given, step)
                case Move.COMMIT:
                    self.given.commit()
                case Move.ROLLBACK:
                    self.given.rollback()
                case Move.FLUSH:
                    pass
            return NOTHING
        from psycopg.rows import tuple_row

        with self.given.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(step.in_pyformat(), dict(step.values))
            return Answer(cursor.fetchall() if cursor.description else (), cursor.rowcount)


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


class PyMySQLDatabase(NoAsync):
    """pymysql's connection."""

    dialect = Dialect.MYSQL

    def __init__(self, connection: Any) -> None:
        self.given = connection

    def do(self, step: Step, /) -> Answer:
        """Carries a step out."""
        connection = self.given
        if isinstance(step, Move):
            match step:
                case Move.BEGIN | Move.JOIN:
                    if not connection.open:
                        raise TransactionRefused("the connection is closed", hint="open it in the task")
                    is_open = bool(connection.server_status & _IN_TRANSACTION)
                    if step is Move.BEGIN and is_open:
                        raise refusals.already_open(_END)
                    if connection.get_autocommit() and not is_open:
                        raise refusals.autocommit("without autocommit=True")
                    if step is Move.BEGIN:
                        connection.begin()
                case Move.STAY:
                    if not connection.server_status & _IN_TRANSACTION:
                        raise refusals.ended()
                case Move.COMMIT:
                    connection.commit()
                case Move.ROLLBACK:
                    connection.rollback()
                case Move.FLUSH:
                    pass
            return NOTHING
        from pymysql.cursors import Cursor

        with connection.cursor(Cursor) as cursor:
            cursor.execute(step.in_pyformat(), dict(step.values))
            return Answer(cursor.fetchall() if cursor.description else (), cursor.rowcount)


class SQLiteDatabase(NoAsync):
    """sqlite3's connection, however it was told to begin transactions."""

    dialect = Dialect.SQLITE

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.given = connection

    def do(self, step: Step, /) -> Answer:
        """Carries a step out."""
        if isinstance(step, Move):
            self._move(step)
            return NOTHING
        cursor = self.given.cursor()
        try:
            cursor.row_factory = None
            cursor.execute(step.text, dict(step.values))
            return Answer(cursor.fetchall() if cursor.description else (), cursor.rowcount)
        finally:
            cursor.close()

    def _move(self, move: Move) -> None:
        connection = self.given
        said = getattr(connection, "autocommit", None)  # from Python 3.12 on; -1 for what it was before
        match move:
            case Move.BEGIN:
                if said is True:
                    raise refusals.autocommit("without autocommit=True")
                # With autocommit=False one is always open, and nothing says whether anything was done in it.
                if said is not False:
                    if connection.in_transaction:
                        raise refusals.already_open(_END)
                    connection.execute("BEGIN IMMEDIATE")
            case Move.JOIN:
                if not connection.in_transaction and (said is True or connection.isolation_level is None):
                    raise refusals.autocommit("on which a transaction was begun")
            case Move.STAY:
                if not connection.in_transaction:
                    raise refusals.ended()
            case Move.COMMIT:
                connection.commit()
            case Move.ROLLBACK:
                connection.rollback()
            case Move.FLUSH:
                pass
