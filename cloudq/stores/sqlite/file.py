"""`StoreFile`: the file that has a store's tables, looked at and written to by the moment at which that is done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from sqlite3 import Cursor
from typing import Final, TypeVar

from cloudq.core.clock import Clock
from cloudq.errors import BackendError, SchemaMismatch, StoreRefused, StoreUnavailable, TransientError
from cloudq.sqlite_file.boot import Moment, boot_name, moment
from cloudq.sqlite_file.connection import Database
from cloudq.sqlite_file.handle import Handle
from cloudq.sqlite_file.tables import Tables
from cloudq.stores.sqlite import schema
from cloudq.stores.sqlite.rows import Boots

T = TypeVar("T")
# A call of the store is two transactions where the first finds something that is there already.
_WAITING: Final = 0.45


class StoreFile:
    """Opens the file, creating it if there is none, and serves transactions on it to any thread.

    Args:
        path: The file.
        clock: Where the time comes from.
        timeout: How long a call of the store may take; a transaction waits for less than half of it.
        full: Whether durable transactions are flushed to the disk before they count as committed.
        mode: Who may read and write the files that are made.
        tables: The store's.

    Attributes:
        path: The file, absolute.
        boots: What is known of the boots by whose clocks spans go.

    Raises:
        SchemaMismatch: The file is another program's database, or of a newer cloudq.
        StoreRefused: It can't be opened or written.
        StoreUnavailable: Others held it for longer than a call waits.
    """

    def __init__(
        self, path: Path, *, clock: Clock, timeout: timedelta, full: bool, mode: int, tables: Tables = schema
    ) -> None:
        self.path = path.resolve()
        self._clock = clock
        boot = boot_name(clock)
        self.boots = Boots(boot)
        patience = timeout * _WAITING
        open_file = partial(Database, self.path, tables, patience=patience, full=full, boot=boot, mode=mode)
        try:
            self._handle = Handle(self.path, open_file)
        except SchemaMismatch:
            raise
        except BackendError as error:
            raise _translated(error) from error

    def look(self, work: Callable[[Cursor, Moment], T]) -> T:
        """Runs a look."""
        try:
            database = self._handle.database()
            return database.read(lambda cursor: work(cursor, moment(self._clock, database.boot)))
        except BackendError as error:
            raise _translated(error) from error

    def write(self, work: Callable[[Cursor, Moment], T], *, durable: bool, alone: bool = False) -> T:
        """Runs a write transaction.

        Args:
            work: What is done in it.
            durable: Whether it must survive a loss of power.
            alone: Whether it is one statement.
        """
        try:
            database = self._handle.database()
            return database.write(
                lambda cursor: work(cursor, moment(self._clock, database.boot)), durable=durable, alone=alone
            )
        except BackendError as error:
            raise _translated(error) from error

    def close(self) -> None:
        """Closes the file, once the transactions under way have ended."""
        self._handle.close()


def _translated(error: BackendError) -> StoreUnavailable | StoreRefused:
    """A store's error for what all users of such a file meet."""
    kind = StoreUnavailable if isinstance(error, TransientError) else StoreRefused
    return kind(error.message, hint=error.hint)
