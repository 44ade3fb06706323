"""`Database`: one process's connections to one file, one for writing and one for reading.

Nothing here opens the database file other than through SQLite: closing such a handle would drop the process's locks
on it (semantics 24).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Final

from cloudq.core.safe_log import SafeLogger
from cloudq.drivers.sqlite import forking, schema
from cloudq.drivers.sqlite.checkpoint import Checkpointer
from cloudq.drivers.sqlite.faults import DriverClosed, busy, moved, read_only, translated
from cloudq.drivers.sqlite.lock import WriteLock, identity
from cloudq.errors import BackendUnavailable, ConfigurationError, StorageCorrupt, UnsupportedError

OLDEST: Final = (3, 35, 0)  # RETURNING
_WAL_RESET_FIXED: Final = (3, 51, 3)
_SMALLEST: Final = 512  # bytes of the smallest page that SQLite knows
_NORMAL: Final = 1
_FULL: Final = 2
# A close that can't have the lock by then goes on: whoever holds it has the database open, so ours isn't the last
# close, which is the one that checkpoints.
_CLOSE_PATIENCE: Final = timedelta(seconds=5)

_log = SafeLogger(__name__)


class Database:
    """Opens the file, creating it if there is none, and serves transactions on it to any thread.

    Args:
        path: The file, absolute.
        busy_timeout: How long a transaction waits for others.
        full: Whether durable transactions are flushed to the disk before they count as committed.

    Raises:
        ConfigurationError: The path can't be that of a database.
        UnsupportedError: SQLite is too old.
        SchemaMismatch: It is another program's database, or of a newer cloudq.
        BackendError: It can't be opened; the class says why.
    """

    def __init__(self, path: Path, *, busy_timeout: timedelta, full: bool) -> None:
        refuse_old_sqlite(sqlite3.sqlite_version_info)
        _refuse_path(path)
        self.path = path
        self._names = (str(path), f"{path}-wal")
        self._timeout = busy_timeout
        self._full = full
        self._pid = os.getpid()
        self._closed = False
        self._write_mutex = Lock()
        self._read_mutex = Lock()
        self._checkpointer = Checkpointer(path)
        with translated(path):
            self._lock = WriteLock(path, busy_timeout)
            try:
                self._lock.acquire()
                try:
                    _refuse_fragment(path)
                    with forking.opening:
                        self._writer, self._reader = self._open()
                    self._files = self._identities()
                finally:
                    self._lock.release()
            except BaseException:
                self._lock.close()
                raise
        self._synchronous = _FULL
        forking.let_end_before_forks(self)

    @property
    def mutexes(self) -> tuple[Lock, Lock]:
        """What is held by the threads that are inside SQLite here."""
        return self._write_mutex, self._read_mutex

    def write(self, *, durable: bool) -> AbstractContextManager[sqlite3.Connection]:
        """A write transaction, committed at the end of the block and rolled back by an exception.

        Args:
            durable: Whether it must survive a loss of power. All survive a killed process.

        Raises:
            BackendError: SQLite's or the system's error, translated; nothing was changed.
        """
        return self._write(_FULL if durable and self._full else _NORMAL)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """The reading connection, alone. Every statement sees the newest commit; rows must be fetched within."""
        with translated(self.path), self._read_mutex:
            if self._closed:
                raise DriverClosed(f"{self.path} was closed")
            self._refuse_moved()
            yield self._reader

    def data_version(self) -> int:
        """A number that changes with every commit, of any process."""
        with self.read() as connection:
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
            return version

    @property
    def inherited(self) -> bool:
        """Whether this is a child process, which has its parent's connections and must not touch them."""
        return os.getpid() != self._pid

    def close(self) -> None:
        """Closes the connections, after what is under way."""
        with self._write_mutex, self._read_mutex:
            if self._closed:
                return
            self._closed = True
            locked = self._locked_to_close()
            try:
                with translated(self.path):
                    self._reader.close()
                    self._writer.close()
            finally:
                if locked:
                    self._lock.release()
                self._lock.close()

    def abandon(self) -> None:
        """For a child process, which must neither use nor close what it inherited: both would harm its parent."""
        import ctypes

        self._closed = True
        self._lock.close()
        for connection in (self._reader, self._writer):
            # One reference too many, so that not even the interpreter's end closes them.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))

    @contextmanager
    def _write(self, synchronous: int) -> Iterator[sqlite3.Connection]:
        if not self._write_mutex.acquire(timeout=self._timeout.total_seconds()):
            raise busy(self.path, f"this process's other threads kept it for {self._timeout.total_seconds():g} s")
        try:
            if self._closed:
                raise DriverClosed(f"{self.path} was closed")
            with translated(self.path):
                self._lock.acquire()
                try:
                    self._refuse_moved()
                    yield from self._transaction(synchronous)
                finally:
                    self._lock.release()
        finally:
            self._write_mutex.release()

    def _identities(self) -> tuple[tuple[int, int] | None, ...]:
        return identity(self._names[0]), identity(self._names[1])

    def _refuse_moved(self) -> None:
        """SQLite itself would go on with a file that has no name any more: what it accepts is gone at the end."""
        if self._identities() != self._files:
            raise moved(self.path)

    def _transaction(self, synchronous: int) -> Iterator[sqlite3.Connection]:
        connection = self._writer
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if synchronous != self._synchronous:
            connection.execute(f"PRAGMA synchronous={synchronous}")
            self._synchronous = synchronous
        # IMMEDIATE: a transaction that starts by reading could not be upgraded once somebody else has written.
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        self._checkpointer.run_if_due(connection)

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        writer = self._connect()
        try:
            self._prepare_writer(writer)
            reader = self._connect()
            try:
                _execute(reader, "mmap_size=0", "wal_autocheckpoint=0", "query_only=1")
                reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # opens the log while the lock is held
            except BaseException:
                reader.close()
                raise
        except BaseException:
            writer.close()
            raise
        return writer, reader

    def _prepare_writer(self, writer: sqlite3.Connection) -> None:
        schema.check(writer, self.path)
        if not os.access(self.path, os.W_OK):  # SQLite opens it all the same, and fails at the first write
            raise read_only(self.path, "this user may only read it")
        mode = writer.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise UnsupportedError(
                f"{self.path} can't have a write-ahead log (its journal mode stays {mode})", hint="use a local disk"
            )
        # A mapped file turns an I/O error into a killed process, and a stray pointer into a damaged file.
        _execute(writer, "mmap_size=0", "wal_autocheckpoint=0", f"synchronous={_FULL}", "temp_store=MEMORY")
        # Some builds overwrite what is deleted, at the cost of a write a page; fast does so where that costs nothing.
        _execute(writer, "secure_delete=FAST")
        # On macOS a plain fsync leaves the data in the disk's cache. Elsewhere this changes nothing.
        _execute(writer, f"fullfsync={int(self._full)}", f"checkpoint_fullfsync={int(self._full)}")
        writer.execute("BEGIN IMMEDIATE")
        try:
            schema.migrate(writer)
            writer.execute("COMMIT")
        except BaseException:
            _roll_back(writer)
            raise

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path,
            timeout=self._timeout.total_seconds(),
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )

    def _locked_to_close(self) -> bool:
        try:
            self._lock.acquire(min(self._timeout, _CLOSE_PATIENCE))
        except BackendUnavailable as error:
            _log.warning("Closing without the write lock: %s", error)
            return False
        return True


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


def _refuse_path(path: Path) -> None:
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder, not a database file", hint="name a file in it")
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"the folder {path.parent} of the database doesn't exist", hint=f"create it: mkdir -p {path.parent}"
        )


def _refuse_fragment(path: Path) -> None:
    """SQLite takes a file that is shorter than its header for an empty one, and would write over it."""
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


def _roll_back(connection: sqlite3.Connection) -> None:
    if not connection.in_transaction:
        return  # SQLite has done it by itself, as it does when the disk is full
    # What failed before is what is reported; the next transaction rolls back first if this one can't.
    with suppress(sqlite3.Error):
        connection.execute("ROLLBACK")
