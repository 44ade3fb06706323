"""Opening a file: what is refused, and how the two connections are set up.

Nothing here opens the database file other than through SQLite: closing such a handle would drop the process's locks
on it (semantics 24).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Final

from cloudq.core.safe_log import SafeLogger
from cloudq.errors import ConfigurationError, StorageCorrupt, UnsupportedError
from cloudq.sqlite_file.faults import read_only
from cloudq.sqlite_file.mutex import certainly
from cloudq.sqlite_file.tables import Tables

OLDEST: Final = (3, 35, 0)  # RETURNING
FULL: Final = 2  # of PRAGMA synchronous: what a new writer has
_WAL_RESET_FIXED: Final = (3, 51, 3)
_SMALLEST: Final = 512  # bytes of the smallest page that SQLite knows

_log = SafeLogger(__name__)


@cache
def refuse_old_sqlite(version: tuple[int, int, int]) -> None:
    """Refuses a version without RETURNING. Says once, for those who debug, that a known bug is worked around.

    Raises:
        UnsupportedError: The version is too old.
    """
    shown = ".".join(map(str, version))
    if version < OLDEST:
        raise UnsupportedError(
            f"SQLite {shown} is too old: cloudq needs {'.'.join(map(str, OLDEST))}",
            hint="use a Python that is linked with a newer SQLite",
        )
    if version < _WAL_RESET_FIXED:
        _log.debug("SQLite %s has the WAL-reset bug; the write lock keeps it from happening", shown)


def refuse_path(path: Path) -> None:
    """Refuses a folder, and a file in a folder that doesn't exist.

    Raises:
        ConfigurationError: It is one of these.
    """
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder, not a database file", hint="name a file in it")
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"the folder {path.parent} of the database doesn't exist", hint=f"create it: mkdir -p {path.parent}"
        )


def refuse_fragment(path: Path) -> None:
    """Refuses a file that is shorter than its header: SQLite takes it for an empty one, and would write over it.

    Raises:
        StorageCorrupt: It is one.
    """
    if not path.exists() or path.with_name(path.name + "-journal").exists():
        return  # with a journal, SQLite completes what a crash left
    size = path.stat().st_size
    if 0 < size < _SMALLEST:
        raise StorageCorrupt(
            f"{path} isn't an intact cloudq database: it has only {size} bytes", hint="choose another file for cloudq"
        )


def _execute(connection: sqlite3.Connection, *pragmas: str) -> None:
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}").fetchall()


def open_pair(
    path: Path, tables: Tables, patience: float, *, full: bool, boot: str | None
) -> tuple[sqlite3.Connection, sqlite3.Connection, int]:
    """The connection that writes, the one that reads, and the number of this boot. Called under the write lock.

    Args:
        path: The file. It is created if there is none.
        tables: Those that are used in it, which are brought to their newest version.
        patience: For how many seconds each step waits for other programs. Afterwards the connections wait for nothing.
        full: Whether a flush has to get through the disk's own cache.
        boot: The name of the boot by whose clock leases go.
    """
    writer = _connect(path, patience)
    try:
        number = _prepare_writer(writer, path, tables, full=full, boot=boot)
        reader = _connect(path, patience)
        try:
            _execute(reader, "mmap_size=0", "wal_autocheckpoint=0", "query_only=1", "trusted_schema=OFF")
            reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # opens the log while the lock is held
            _execute(reader, "busy_timeout=0")
        except BaseException:
            reader.close()
            raise
    except BaseException:
        writer.close()
        raise
    return writer, reader, number


def _prepare_writer(writer: sqlite3.Connection, path: Path, tables: Tables, *, full: bool, boot: str | None) -> int:
    tables.check(writer, path)
    if not os.access(path, os.W_OK):  # SQLite opens it all the same, and fails at the first write
        raise read_only(path, "this user may only read it")
    mode = writer.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise UnsupportedError(
            f"{path} can't have a write-ahead log (its journal mode stays {mode})", hint="use a local disk"
        )
    # A mapped file turns an I/O error into a killed process, and a stray pointer into a damaged file.
    _execute(writer, "mmap_size=0", "wal_autocheckpoint=0", f"synchronous={FULL}", "temp_store=MEMORY")
    # The file may come from elsewhere: what its schema calls by itself gets no dangerous functions.
    _execute(writer, "trusted_schema=OFF", "cell_size_check=ON")
    # Some builds overwrite what is deleted, at the cost of a write a page; fast does so where that costs nothing.
    _execute(writer, "secure_delete=FAST")
    # On macOS a plain fsync leaves the data in the disk's cache. Elsewhere this changes nothing.
    _execute(writer, f"fullfsync={int(full)}", f"checkpoint_fullfsync={int(full)}")
    number = certainly(partial(_migrate, writer, tables, boot), partial(roll_back, writer))
    # From here on waiting is done here: so it is bounded together with all else that a call waits for.
    _execute(writer, "busy_timeout=0")
    return number


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.text_factory = text_or_bytes
    return connection


def roll_back(connection: sqlite3.Connection) -> None:
    """Ends the transaction that is open, if there is one."""
    if not connection.in_transaction:
        return  # SQLite has done it by itself, as it does when the disk is full
    # What failed before is what is reported; the next transaction rolls back first if this one can't.
    with suppress(sqlite3.Error):
        connection.execute("ROLLBACK")


def _migrate(writer: sqlite3.Connection, tables: Tables, boot: str | None) -> int:
    writer.execute("BEGIN IMMEDIATE")
    number = tables.prepare(writer, boot)
    writer.execute("COMMIT")
    return number


def text_or_bytes(stored: bytes) -> str | bytes:
    """What SQLite calls a text, which needn't be UTF-8; Python's own way would fail the statement."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored
