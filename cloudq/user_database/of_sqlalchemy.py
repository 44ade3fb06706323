"""SQLAlchemy's connections and sessions, sync and async."""

from __future__ import annotations

import sqlite3
import sys
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session

from cloudq.errors import TransactionRefused
from cloudq.user_database import refusals
from cloudq.user_database.database import NoSync
from cloudq.user_database.statements import Answer, Dialect, Statement, Step
from cloudq.user_database.sync_database import SyncDatabase

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

_DIALECTS: Final = {
    "postgresql": Dialect.POSTGRESQL,
    "mysql": Dialect.MYSQL,
    "mariadb": Dialect.MYSQL,
    "sqlite": Dialect.SQLITE,
}


def of_sqlalchemy(given: Any) -> ConnectionDatabase | SessionDatabase | AsyncDatabase | None:
    """The database behind an object of SQLAlchemy's, or `None` if it is no connection and no session."""
    # Only what the program has imported can have made it; and the import fails where greenlet isn't installed.
    of_asyncio = sys.modules.get("sqlalchemy.ext.asyncio")
    if isinstance(given, scoped_session) or (of_asyncio and isinstance(given, of_asyncio.async_scoped_session)):
        given = given()
    if isinstance(given, Connection):
        return ConnectionDatabase(given)
    if isinstance(given, Session):
        return SessionDatabase(given)
    if of_asyncio and isinstance(given, of_asyncio.AsyncConnection):
        return AsyncDatabase(given, ConnectionDatabase(given.sync_connection) if given.sync_connection else None)
    if of_asyncio and isinstance(given, of_asyncio.AsyncSession):
        return AsyncDatabase(given, SessionDatabase(given.sync_session))
    return None


class ConnectionDatabase(SyncDatabase):
    """A Connection."""

    given: Connection

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.dialect = _dialect(connection.dialect.name)

    def _begin(self) -> None:
        connection = self.given
        if connection.in_transaction():
            raise refusals.already_open("connection.commit() or .rollback()")
        connection.begin()
        try:
            _own(connection, self.dialect)
        except BaseException:
            connection.rollback()
            raise

    def _join(self) -> None:
        _join(self.given)

    def _stay(self) -> None:
        if not self.given.in_transaction():
            raise refusals.ended()

    def _execute(self, statement: Statement) -> Answer:
        return _execute(self.given, statement)


class SessionDatabase(SyncDatabase):
    """A Session: what it does on the connection of its own bind."""

    given: Session

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        try:
            self._bind = session.get_bind()
        except SQLAlchemyError as error:
            raise TransactionRefused(
                "the session has no database of its own, only those of some tables",
                hint="give the session's Connection to that database: session.connection(bind_arguments=...)",
            ) from error
        self.dialect = _dialect(self._bind.dialect.name)

    def _begin(self) -> None:
        session = self.given
        if session.in_transaction():
            raise refusals.already_open("session.commit() or .rollback()")
        if isinstance(self._bind, Connection) and self._bind.in_transaction():
            raise refusals.already_open("bind the session to an engine")
        session.begin()
        try:
            _own(session.connection(), self.dialect)
        except BaseException:
            session.rollback()
            raise

    def _join(self) -> None:
        _join(self.given.connection())

    def _stay(self) -> None:
        if not self.given.in_transaction():
            raise refusals.ended()

    def _flush(self) -> None:
        self.given.flush()

    def _execute(self, statement: Statement) -> Answer:
        return _execute(self.given.connection(), statement)


class AsyncDatabase(NoSync):
    """An AsyncConnection or AsyncSession, whose sync side does each step."""

    def __init__(
        self, given: AsyncConnection | AsyncSession, inner: ConnectionDatabase | SessionDatabase | None
    ) -> None:
        if inner is None:
            raise TransactionRefused(
                "the connection isn't open yet", hint="async with engine.connect() as connection: ... (connection)"
            )
        self.given = given
        self.dialect = inner.dialect
        self._inner = inner

    async def ado(self, step: Step, /) -> Answer:
        """Carries a step out."""
        return await self.given.run_sync(lambda _: self._inner.do(step))


def _dialect(name: str) -> Dialect:
    if (dialect := _DIALECTS.get(name)) is None:
        raise refusals.dialect(name)
    return dialect


def _execute(connection: Connection, statement: Statement) -> Answer:
    result = connection.execute(text(statement.text), dict(statement.values))
    if result.returns_rows:
        return Answer([tuple(row) for row in result.all()])
    return Answer((), result.rowcount)


def _own(connection: Connection, dialect: Dialect) -> None:
    """Makes sure that what SQLAlchemy calls a transaction is one of the database's."""
    if dialect is Dialect.SQLITE:
        _refuse_what_never_commits(connection)
        # sqlite3 begins none before the first change, and then one that may fail as it goes from reading to writing.
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except DBAPIError as error:
            if "within a transaction" not in str(error.orig):  # the user's own event has begun it
                raise
    elif _commits_by_itself(connection):
        raise refusals.autocommit('without isolation_level="AUTOCOMMIT"')


def _join(connection: Connection) -> None:
    _refuse_what_never_commits(connection)
    if not connection.in_transaction():
        connection.begin()
    if _commits_by_itself(connection):
        raise refusals.autocommit('without isolation_level="AUTOCOMMIT"')


def _refuse_what_never_commits(connection: Connection) -> None:
    """Refuses sqlite3's `autocommit=True`: there a transaction can be begun, and commit() and rollback() do nothing.

    Python's documentation of `sqlite3.Connection.autocommit` (3.12) says so.
    """
    pooled: Any = connection.connection
    raw = pooled.driver_connection
    inner = getattr(raw, "_conn", raw)  # aiosqlite's own connection has one of sqlite3's, and doesn't say how it is set
    if not isinstance(inner, sqlite3.Connection):
        return
    if inner is raw:
        mode = getattr(inner, "autocommit", None)
    else:  # in its own thread: sqlite3 answers no other one, but with `check_same_thread=False`
        mode = pooled.dbapi_connection.run_async(lambda own: own._execute(getattr, inner, "autocommit", None))
    if mode is True:
        raise refusals.autocommit("without autocommit=True")


def _commits_by_itself(connection: Connection) -> bool:
    raw: Any = connection.connection.dbapi_connection
    if hasattr(raw, "in_transaction"):  # sqlite3, and aiosqlite
        return raw.isolation_level is None and not raw.in_transaction
    said = getattr(raw, "autocommit", None)
    if isinstance(said, bool):
        return said
    ask = getattr(raw, "get_autocommit", None)
    return bool(ask()) if callable(ask) else False
