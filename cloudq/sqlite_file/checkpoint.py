"""`Checkpointer`: keeps the write-ahead log short. SQLite's own checkpoints are off (semantics 24)."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from cloudq.core.safe_log import SafeLogger

WAL_LIMIT: Final = 4 * 1024 * 1024
_PAGE: Final = 4096
# A checkpointed log is written again from its start, in place. If readers prevent that, it grows on, up to this many
# times the limit, and is then emptied by force.
_EMPTIED_AT: Final = 4
# These are a few hundred KiB at most, and asking for a size takes as long as a commit's statement.
_MOST_UNSEEN: Final = 16
# How long emptying waits for readers of the log. Ours read for microseconds; others (a backup) aren't waited for.
_READERS_MS: Final = 50

_log = SafeLogger(__name__)


class Checkpointer:
    """Moves the log into the database each time about as much as the limit was written to it.

    The file isn't cut: a commit that overwrites is flushed in about half the time of one that makes the file longer
    (measured: 3,000 single sends a second instead of 1,700), for the disk needn't note a new length.

    It is called under the write lock only, after a commit: so there is one at a time, in any process, and no
    write beside it.

    Args:
        path: The database.
        limit: The bytes that the log may have before it is moved.
    """

    def __init__(self, path: Path, *, limit: int = WAL_LIMIT) -> None:
        self._log_file = f"{path}-wal"
        self._limit = limit
        self._changes = 0
        # Small commits since the last look at the file's size. A process's first one looks: it may be its only one.
        self._unseen = _MOST_UNSEEN
        self._pages = 0  # about as many as this process wrote since its last checkpoint
        self._moved_at = 0  # how long the file was then
        self._emptied_at = _EMPTIED_AT * limit

    def run_if_due(self, connection: sqlite3.Connection, *, small: bool = False) -> None:
        """Checkpoints if much was written. A failure is only logged: the commit before it stands.

        Args:
            connection: The one that writes.
            small: Whether the commit was one of few pages; the file's size is asked for after every 16 of those.
        """
        changes = connection.total_changes
        # A commit rewrites a page of the table and of each index; a batch's rows share theirs. A small one is a message
        # without a key, mostly, which one index has.
        self._pages += (2 if small else 3) + (changes - self._changes) // 2
        self._changes = changes
        self._unseen = self._unseen + 1 if small else _MOST_UNSEEN
        if self._unseen < _MOST_UNSEEN:
            return
        self._unseen = 0
        size = self.size()
        if size > self._emptied_at:
            blocked = self._checkpoint(connection, "TRUNCATE")
            # Somebody reads an old state: it can't be emptied now, and trying at every commit would be slow.
            self._emptied_at = size + self._limit // 2 if blocked else _EMPTIED_AT * self._limit
        elif self._pages * _PAGE >= self._limit or size - self._moved_at > self._limit:
            self._checkpoint(connection, "PASSIVE")

    def size(self) -> int:
        """The bytes of the log's file."""
        try:
            return os.stat(self._log_file).st_size  # noqa: PTH116 - after each commit, and a Path takes much longer
        except OSError:  # there is none; or the folder is in trouble, which must not fail a commit that stands
            return 0

    def _checkpoint(self, connection: sqlite3.Connection, mode: str) -> bool:
        """Runs a checkpoint. Whether something kept it from moving everything."""
        patience = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout={_READERS_MS}")
        try:
            blocked = bool(connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0])
        except sqlite3.Error as error:
            _log.warning("The write-ahead log %s could not be checkpointed: %s", self._log_file, error)
            blocked = True
        finally:
            connection.execute(f"PRAGMA busy_timeout={patience}")
        self._pages = 0
        self._moved_at = self.size()
        return blocked
