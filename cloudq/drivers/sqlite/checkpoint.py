"""`Checkpointer`: keeps the write-ahead log short. SQLite's own checkpoints are off (semantics 24)."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Final

WAL_LIMIT: Final = 4 * 1024 * 1024
# How long a checkpoint waits for readers of the log. Ours read for microseconds; others (a backup) aren't waited for.
_READERS_MS: Final = 50

_log = logging.getLogger(__name__)


class Checkpointer:
    """Moves the log into the database, and empties it, once it has grown past the limit.

    It is called under the write lock only, after a commit: so there is one at a time, in any process, and no
    write beside it.

    Args:
        path: The database.
        limit: The bytes that the log may have.
    """

    def __init__(self, path: Path, *, limit: int = WAL_LIMIT) -> None:
        self._log_file = path.with_name(path.name + "-wal")
        self._limit = limit
        self._threshold = limit

    def run_if_due(self, connection: sqlite3.Connection) -> None:
        """Checkpoints if the log is long. What fails here is logged only: the commit before it stands."""
        size = self.size()
        if size <= self._limit:
            self._threshold = self._limit
        elif size > self._threshold:
            self._run(connection, size)

    def size(self) -> int:
        """The bytes of the log."""
        try:
            return self._log_file.stat().st_size
        except OSError:  # there is none; or the folder is in trouble, which must not fail a commit that stands
            return 0

    def _run(self, connection: sqlite3.Connection, size: int) -> None:
        patience = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout={_READERS_MS}")
        try:
            blocked = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error as error:
            _log.warning("The write-ahead log %s could not be checkpointed: %s", self._log_file, error)
            blocked = True
        finally:
            connection.execute(f"PRAGMA busy_timeout={patience}")
        # Somebody reads from the log: it can't be emptied now, and trying at every commit would be slow.
        self._threshold = size + self._limit // 2 if blocked else self._limit
