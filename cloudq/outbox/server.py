"""`ServerOutbox`: an outbox on PostgreSQL, MariaDB or MySQL, through SQLAlchemy. Needs `cloudq[sql]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from cloudq.errors import StoreUnavailable
from cloudq.outbox.rows import OutboxRow
from cloudq.outbox.schema import missing
from cloudq.user_database import Dialect, Script, Statement, UserDatabase, opened, run
from cloudq.user_database.faults import is_missing_table

T = TypeVar("T")

_SECOND: Final = timedelta(seconds=1)
_MILLISECOND: Final = timedelta(milliseconds=1)


class ServerOutbox:
    """One connection: what is taken stays locked by its transaction.

    Args:
        engine: Connects to the server.
        lease: For how long the server leaves a transaction open in which nothing is done.
    """

    def __init__(self, engine: Engine, lease: timedelta) -> None:
        # The locks of REPEATABLE READ, MariaDB's and MySQL's usual level, would hold up those who insert beside them.
        self._engine = engine.execution_options(isolation_level="READ COMMITTED")
        self._lease = lease
        self._held: _Held | None = None
        self.dialect = Dialect.POSTGRESQL if engine.dialect.name == "postgresql" else Dialect.MYSQL

    def look(self, script: Script[T]) -> T:
        """Carries a script out in a transaction of its own."""
        try:
            with self._engine.begin() as connection:
                return run(opened(connection), script)
        except SQLAlchemyError as error:
            raise _translated(error) from error

    def begin(self, taking: Callable[[], Script[Sequence[OutboxRow]]]) -> Sequence[OutboxRow]:
        """Begins the transaction that holds the rows; there is none after it if there are none."""
        kept = self._held is not None
        try:
            return self._taken(taking())
        except DBAPIError as error:
            # A connection that lay idle between two looks: its server, or what stands before it, has closed it.
            if not (kept and error.connection_invalidated):
                raise _translated(error) from error
        except SQLAlchemyError as error:
            raise _translated(error) from error
        try:
            return self._taken(taking())
        except SQLAlchemyError as error:
            raise _translated(error) from error

    def _taken(self, script: Script[Sequence[OutboxRow]]) -> Sequence[OutboxRow]:
        try:
            rows = run(self._begun(), script)
            if not rows:
                self._rolled_back()
        except BaseException:
            self._drop()
            raise
        return rows

    def end(self, script: Script[None] | None) -> None:
        """Ends that transaction."""
        held = self._held
        if held is None or not held.connection.in_transaction():
            raise StoreUnavailable("the outbox's transaction is over: what was published may be published again")
        try:
            if script is None:
                held.connection.rollback()
            else:
                run(held.database, script)
                held.connection.commit()
        except BaseException as error:
            self._drop()
            if isinstance(error, SQLAlchemyError):
                raise _translated(error) from error
            raise

    def close(self) -> None:
        """Closes all connections."""
        self._drop()
        self._engine.dispose()

    def _begun(self) -> UserDatabase:
        held = self._held
        if held is None:
            connection = self._engine.connect()
            held = self._held = _Held(connection, opened(connection))
            if self.dialect is Dialect.MYSQL:
                # Of the connection as long as it lives: after this much silence the server closes it.
                seconds = max(1, -(-self._lease // _SECOND))
                run(held.database, _setting(f"set session wait_timeout = {seconds}"))
        self._rolled_back()
        if self.dialect is Dialect.POSTGRESQL:
            # For this transaction alone: behind a pooler the connection is another's after it.
            limit = max(1, self._lease // _MILLISECOND)
            run(held.database, _setting(f"set local idle_in_transaction_session_timeout = {limit}"))
        return held.database

    def _rolled_back(self) -> None:
        if self._held is not None and self._held.connection.in_transaction():
            self._held.connection.rollback()

    def _drop(self) -> None:
        """Gives the connection up, whatever state it is in: so the server unlocks what it held."""
        held, self._held = self._held, None
        if held is not None:
            with suppress(SQLAlchemyError):
                held.connection.invalidate()
            with suppress(SQLAlchemyError):
                held.connection.close()


class _Held(NamedTuple):
    """The connection whose transaction holds what was taken."""

    connection: Connection
    database: UserDatabase


def _setting(text: str) -> Script[None]:
    yield Statement(text)


def _translated(error: SQLAlchemyError) -> Exception:
    if is_missing_table(error):
        return missing()
    # Without its text: that has the statement and its values in it.
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return StoreUnavailable(f"the outbox's database failed: {type(cause).__name__}")
