"""What a database's errors become: errors of cloudq, which show neither the statement nor its values."""

from __future__ import annotations

from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cloudq.errors import CloudqError, StoreRefused, StoreUnavailable
from cloudq.stores.sql.dialect import Dialect, Fault

_MOST_SAID: Final = 300


class RowLocked(StoreUnavailable):
    """Somebody else's transaction holds the record, for longer than is waited."""


def translated(error: DBAPIError | PoolTimeout, dialect: Dialect) -> CloudqError:
    """Our error for one of SQLAlchemy's."""
    if isinstance(error, PoolTimeout):
        return StoreUnavailable("the store's database failed: all connections to it were in use for too long")
    fault = dialect.fault(error)
    if fault in {Fault.LOCKED, Fault.AGAIN}:
        return RowLocked(f"the store's database failed: a record is in the hands of another transaction {_code(error)}")
    if fault is Fault.REFUSED:
        return StoreRefused(
            f"the store's database refuses it {_code(error)}",
            hint="check the tables, the user's rights on them, the disk, and whether the server can be written to",
        )
    return StoreUnavailable(f"the store's database failed: {type(error).__name__} {_code(error)}".rstrip())


def unconnected(error: DBAPIError | PoolTimeout, dialect: Dialect, password: str | None) -> CloudqError:
    """Our error where there is no connection, with the server's own words: there are no values yet that they may name.

    Args:
        error: SQLAlchemy's.
        dialect: The server's words.
        password: What isn't to be shown.
    """
    meant = translated(error, dialect)
    said = str(error.orig).strip().partition("\n")[0][:_MOST_SAID] if isinstance(error, DBAPIError) else ""
    if not said or (password and password in said):
        return meant
    return type(meant)(f"{meant.message}: {said}", hint=meant.hint)


def _code(error: DBAPIError) -> str:
    """The database's own word for it, by which it can be looked up. Its text may hold values."""
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    if code is None and error.orig is not None and error.orig.args and isinstance(error.orig.args[0], int):
        code = error.orig.args[0]
    return f"({code})" if code else ""
