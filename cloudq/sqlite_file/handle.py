"""`Handle`: a `Database` that is opened anew in a child process, which must not touch its parent's."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cloudq.sqlite_file.connection import Database
from cloudq.sqlite_file.faults import FileClosed, entered_twice
from cloudq.sqlite_file.mutex import Mutex, certainly


class Handle:
    """Opens the file, and opens it again at the first use after a fork.

    Args:
        path: The file, for texts.
        open_file: Opens it.

    Raises:
        BackendError: As the database's opening.
    """

    def __init__(self, path: Path, open_file: Callable[[], Database]) -> None:
        self._path = path
        self._open_file = open_file
        self._opening = Mutex()
        self._closed = False
        self._database: Database | None = None
        self.database()
        _handles.add(self)

    def database(self) -> Database:
        """The database, open.

        Raises:
            BackendError: It can't be opened again, or was closed.
        """
        database = self._database
        if database is not None:
            return database
        if self._opening.mine():
            raise entered_twice(self._path)
        return certainly(self._reopen, self._opening.free)

    def close(self) -> None:
        """Closes it after what is under way, once."""
        if self._opening.mine():
            raise entered_twice(self._path)
        certainly(self._close, self._opening.free)

    def _reopen(self) -> Database:
        self._opening.acquire()
        if self._closed:
            raise FileClosed(f"{self._path} was closed")
        if self._database is None:
            database = self._open_file()
            # Also at the interpreter's end: closing may checkpoint, which needs the write lock.
            weakref.finalize(self, _close, database)
            self._database = database
        return self._database

    def _close(self) -> None:
        self._opening.acquire()
        self._closed = True
        if self._database is not None:
            _close(self._database)

    def _forget_inherited(self) -> None:
        """In a child process: the next use opens the file anew."""
        self._opening = Mutex()  # a thread that doesn't exist here may have held the old one
        database, self._database = self._database, None
        if database is not None:
            database.abandon()


def _close(database: Database) -> None:
    if not database.inherited:
        database.close()


_handles: Final[weakref.WeakSet[Handle]] = weakref.WeakSet()


def _forget_inherited() -> None:
    for handle in list(_handles):
        handle._forget_inherited()


os.register_at_fork(after_in_child=_forget_inherited)
