"""`Database`: one process's connections to one file, one for writing and one for reading.

Nothing here opens the database file other than through SQLite: closing such a handle would drop the process's locks
on it (semantics 24).
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from cloudq.core.safe_log import SafeLogger
from cloudq.errors import BackendUnavailable
from cloudq.sqlite_file import files, forking
from cloudq.sqlite_file.checkpoint import Checkpointer
from cloudq.sqlite_file.faults import FileClosed, busy, entered_twice, is_busy, is_ours, moved, translate
from cloudq.sqlite_file.lock import WriteLock, identity
from cloudq.sqlite_file.mutex import Mutex, certainly
from cloudq.sqlite_file.opening import FULL, open_pair, refuse_fragment, refuse_old_sqlite, refuse_path, roll_back
from cloudq.sqlite_file.tables import Tables

T = TypeVar("T")
ArgumentT = TypeVar("ArgumentT")

_UNKNOWN: Final = 0
_NORMAL: Final = 1
# Seconds between two tries at a database that another program holds.
_BUSY_PAUSE: Final = (0.001, 0.004)
# A close that doesn't get the lock by then goes on: the lock's holder has the database open, so this isn't the last
# close, which is the one that checkpoints.
_CLOSE_PATIENCE: Final = timedelta(seconds=5)

_log = SafeLogger(__name__)


class Database:
    """Opens the file, creating it if there is none, and serves transactions on it to any thread.

    Args:
        path: The file, absolute.
        tables: Those that are used in it.
        patience: How long a transaction waits: for this process's other threads, for other processes, and for other
            programs, all together.
        full: Whether durable transactions are flushed to the disk before they count as committed.
        mode: Who may open the files that are made.
        boot: The name of the boot by whose clock leases go.

    Attributes:
        path: The file.
        boot: The number that this file has for that boot.

    Raises:
        ConfigurationError: The path can't be that of a database.
        UnsupportedError: SQLite is too old.
        SchemaMismatch: It is another program's database, or of a newer cloudq.
        BackendError: It can't be opened; the class says why.
    """

    def __init__(
        self, path: Path, tables: Tables, *, patience: timedelta, full: bool, boot: str | None, mode: int
    ) -> None:
        refuse_old_sqlite(sqlite3.sqlite_version_info)
        refuse_path(path)
        self.path = path
        self._names = (str(path), f"{path}-wal")
        self._patience = patience.total_seconds()
        self._full = full
        self._pid = os.getpid()
        self._closed = False
        self._named_in: object = None  # the state of the folder in which the names were seen to be those of our files
        self._write_mutex = Mutex()
        self._read_mutex = Mutex()
        # Of the transaction, and of the look, under way. Closed at its end, as an interrupted statement would keep its
        # view of the database for as long as a traceback keeps the statement.
        self._write_cursor: sqlite3.Cursor | None = None
        self._read_cursor: sqlite3.Cursor | None = None
        self._checkpointer = Checkpointer(path)
        try:
            self._lock = WriteLock(path, patience, mode=mode)
            try:
                certainly(partial(self._open_locked, tables, boot, mode), self._lock.release)
            except BaseException:
                self._lock.close()
                raise
        except (sqlite3.Error, OSError) as error:
            if not is_ours(error):
                raise
            raise translate(error, path) from error
        files.warn_of_others(path, mode)
        self._synchronous = FULL
        forking.let_end_before_forks(self)

    @property
    def mutexes(self) -> tuple[Mutex, Mutex]:
        """What is held by the threads that are inside SQLite here."""
        return self._write_mutex, self._read_mutex

    def write(self, work: Callable[[sqlite3.Cursor], T], *, durable: bool, alone: bool = False) -> T:
        """Runs `work` in a write transaction, committed at its end and rolled back by an exception.

        Whatever exceptions strike, and wherever, no lock is left behind (see `certainly`). Struck behind the commit,
        they change nothing about what was written.

        Args:
            work: Does all by the cursor that it is given, with one statement at a time.
            durable: Whether it must survive a loss of power. All survive a killed process.
            alone: Whether it is one statement about a few pages, which SQLite makes a transaction of its own. That
                saves two others. May be called again if another program held the database.

        Raises:
            BackendError: SQLite's or the system's error, translated; nothing was changed. Also where this thread is
                in a transaction already: a signal handler came in between.
        """
        if self._write_mutex.mine():
            raise entered_twice(self.path)
        level = FULL if durable and self._full else _NORMAL
        try:
            return certainly(partial(self._transact, work, level, alone), self._leave_writing)
        except (sqlite3.Error, OSError) as error:
            if not is_ours(error):
                raise
            raise translate(error, self.path) from error

    def read(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        """Runs `work` on the reading connection, alone. Every statement sees the newest commit.

        Args:
            work: Does all by the cursor that it is given, with one statement at a time. May be called again if another
                program held the database.

        Raises:
            BackendError: As for `write`.
        """
        if self._read_mutex.mine():
            raise entered_twice(self.path)
        try:
            return certainly(partial(self._look, work), self._leave_reading)
        except (sqlite3.Error, OSError) as error:
            if not is_ours(error):
                raise
            raise translate(error, self.path) from error

    def data_version(self) -> int:
        """A number that changes with every commit, of any process."""
        return self.read(_data_version)

    @property
    def inherited(self) -> bool:
        """Whether this is a child process, which has its parent's connections and must not touch them."""
        return os.getpid() != self._pid

    def close(self) -> None:
        """Closes the connections, after what is under way."""
        if self._write_mutex.mine() or self._read_mutex.mine():
            raise entered_twice(self.path)
        certainly(self._close, self._leave_closed)

    def abandon(self) -> None:
        """For a child process, which must neither use nor close what it inherited: both would harm its parent."""
        import ctypes

        self._closed = True
        forking.forget(self)
        self._lock.close()
        for connection in (self._reader, self._writer):
            # One reference too many, so that not even the interpreter's end closes them.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))

    def _transact(self, work: Callable[[sqlite3.Cursor], T], synchronous: int, alone: bool) -> T:
        deadline = time.monotonic() + self._patience
        if not self._write_mutex.acquire(self._patience):
            raise busy(self.path, f"this process's other threads kept it for {self._patience:g} s")
        if self._closed:
            raise FileClosed(f"{self.path} was closed")
        self._lock.acquire(deadline)
        if (state := self._lock.state) != self._named_in:
            self._refuse_moved(state)
        connection = self._writer
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if synchronous != self._synchronous:
            self._synchronous = _UNKNOWN  # until the next step: an exception may come between the two
            connection.execute(f"PRAGMA synchronous={synchronous}")
            self._synchronous = synchronous
        self._write_cursor = cursor = connection.cursor()
        if alone:
            result = _patiently(work, cursor, deadline)
        else:
            # IMMEDIATE: a transaction that starts by reading could not be upgraded once somebody else has written.
            _patiently(cursor.execute, "BEGIN IMMEDIATE", deadline)
            result = work(cursor)
            cursor.close()  # a statement that writes and isn't at its end would keep the commit from being made
            connection.execute("COMMIT")
        self._checkpointer.run_if_due(connection, small=alone)
        return result

    def _leave_writing(self) -> None:
        if not self._write_mutex.mine():
            return
        if not self._closed:  # else there is nothing to leave; nor is there in a child forked during a transaction
            if self._write_cursor is not None:
                self._write_cursor.close()
                self._write_cursor = None
            roll_back(self._writer)
            self._lock.release()
        self._write_mutex.free()

    def _look(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        deadline = time.monotonic() + self._patience
        if not self._read_mutex.acquire(self._patience):
            raise busy(self.path, f"this process's other threads kept it for {self._patience:g} s")
        if self._closed:
            raise FileClosed(f"{self.path} was closed")
        if (state := self._lock.folder.state()) != self._named_in:
            self._refuse_moved(state)
        self._read_cursor = cursor = self._reader.cursor()
        return _patiently(work, cursor, deadline)

    def _leave_reading(self) -> None:
        if not self._read_mutex.mine():
            return
        if self._read_cursor is not None and not self._closed:
            self._read_cursor.close()
            self._read_cursor = None
        self._read_mutex.free()

    def _close(self) -> None:
        self._write_mutex.acquire()
        self._read_mutex.acquire()
        if self._closed:
            return
        self._closed = True
        self._acquire_to_close()
        try:
            self._reader.close()
            self._writer.close()
        except (sqlite3.Error, OSError) as error:
            if not is_ours(error):
                raise
            raise translate(error, self.path) from error

    def _leave_closed(self) -> None:
        if self._closed and self._write_mutex.mine():
            self._lock.release()
            self._lock.close()
        self._read_mutex.free()
        self._write_mutex.free()

    def _open_locked(self, tables: Tables, boot: str | None, mode: int) -> None:
        self._lock.acquire()
        refuse_fragment(self.path)
        files.make(self.path, mode)
        opening = forking.opening
        if opening.mine():
            raise entered_twice(self.path)
        opened = certainly(partial(self._open_alone, tables, opening, boot), opening.free)
        self._writer, self._reader, self.boot = opened
        self._files = self._identities()

    def _open_alone(
        self, tables: Tables, opening: Mutex, boot: str | None
    ) -> tuple[sqlite3.Connection, sqlite3.Connection, int]:
        opening.acquire()
        return open_pair(self.path, tables, self._patience, full=self._full, boot=boot)

    def _identities(self) -> tuple[tuple[int, int] | None, ...]:
        return identity(self._names[0]), identity(self._names[1])

    def _refuse_moved(self, state: object) -> None:
        """SQLite itself would go on with a file that has no name any more, and lose at the end what it accepted.

        Args:
            state: That of the folder, asked for before.
        """
        if self._identities() != self._files:
            raise moved(self.path)
        self._named_in = state

    def _acquire_to_close(self) -> None:
        try:
            self._lock.acquire(time.monotonic() + min(self._patience, _CLOSE_PATIENCE.total_seconds()))
        except BackendUnavailable as error:
            _log.warning("Closing without the write lock: %s", error)


def _data_version(cursor: sqlite3.Cursor) -> int:
    version: int = cursor.execute("PRAGMA data_version").fetchone()[0]
    return version


def _patiently(step: Callable[[ArgumentT], T], argument: ArgumentT, deadline: float) -> T:
    """Tries the step until no other program keeps it from being done, or the deadline (`time.monotonic`) is over."""
    while True:
        try:
            return step(argument)
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
        # Real time, not the injected clock's: this waits for other processes.
        time.sleep(random.uniform(*_BUSY_PAUSE))  # noqa: S311 - jitter, not a secret
