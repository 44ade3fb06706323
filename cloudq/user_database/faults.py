"""What a database's error means, whichever library wraps it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

# PostgreSQL: serialization_failure, deadlock_detected, lock_not_available.
_STATES_OF_OTHERS: Final = frozenset({"40001", "40P01", "55P03"})
# MariaDB and MySQL: deadlock, the row changed since it was read, lock wait time-out.
_CODES_OF_OTHERS: Final = frozenset({1213, 1020, 1205})
_UNIQUE_STATE: Final = "23505"
_UNIQUE_CODES: Final = frozenset({1062, 1586})
_UNIQUE_SQLITE: Final = frozenset({1555, 2067})  # of a primary key, of another unique index
_BUSY_SQLITE: Final = frozenset({5, 6})  # SQLITE_BUSY, SQLITE_LOCKED
_MISSING_STATE: Final = "42P01"
_MISSING_CODE: Final = 1146
# No such savepoint, and no transaction either.
_SAVEPOINT_STATES: Final = frozenset({"3B001", "25P01"})
_SAVEPOINT_CODE: Final = 1305
_MYSQL: Final = frozenset({"pymysql", "MySQLdb", "mysql", "mariadb", "asyncmy", "aiomysql"})
_MOST_WRAPPERS: Final = 10


def is_conflict(error: BaseException) -> bool:
    """Whether a row with the same unique value is there."""
    return any(
        _state(part) == _UNIQUE_STATE or _code(part) in _UNIQUE_CODES or _sqlite(part) in _UNIQUE_SQLITE
        for part in _parts(error)
    )


def is_of_others(error: BaseException) -> bool:
    """Whether the transaction failed because of others that ran beside it: the same one may succeed now."""
    return any(
        _state(part) in _STATES_OF_OTHERS
        or _code(part) in _CODES_OF_OTHERS
        or (_sqlite(part) or 0) & 0xFF in _BUSY_SQLITE
        for part in _parts(error)
    )


def is_missing_table(error: BaseException) -> bool:
    """Whether a table isn't there."""
    return any(
        _state(part) == _MISSING_STATE
        or _code(part) == _MISSING_CODE
        or (_sqlite(part) == 1 and str(part).startswith("no such table"))
        for part in _parts(error)
    )


def is_missing_savepoint(error: BaseException) -> bool:
    """Whether a savepoint isn't there: the transaction that it was made in has ended."""
    return any(
        _state(part) in _SAVEPOINT_STATES
        or _code(part) == _SAVEPOINT_CODE
        or (_sqlite(part) == 1 and str(part).startswith("no such savepoint"))
        for part in _parts(error)
    )


def _parts(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it wraps: SQLAlchemy's `orig`, and the cause of Django's, or of the user's own."""
    part: BaseException | None = error
    for _ in range(_MOST_WRAPPERS):
        if part is None:
            return
        yield part
        orig = getattr(part, "orig", None)
        part = orig if isinstance(orig, BaseException) else part.__cause__


def _state(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state if isinstance(state, str) else None


def _code(error: BaseException) -> int | None:
    """Any program's error may begin with a number; only those of a driver for MySQL mean this."""
    if not error.args or not isinstance(error.args[0], int):
        return None
    return error.args[0] if any(base.__module__.partition(".")[0] in _MYSQL for base in type(error).__mro__) else None


def _sqlite(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code if isinstance(code, int) else None
