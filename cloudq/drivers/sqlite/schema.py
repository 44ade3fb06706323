"""The tables, and how older files become newer ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from cloudq.errors import SchemaMismatch
from cloudq.sqlite_file.boot import number_in
from cloudq.sqlite_file.tables import make_ours, pragma, refuse_foreign

Migration: TypeAlias = "tuple[str, ...]"

# Times are microseconds since 1970. Bodies and failures come last in a row, so that what is looked at often is found
# without walking a large body's pages.
_V1: Final[Migration] = (
    # AUTOINCREMENT: a receipt names its row by seq, which therefore must never be used twice. See the third version.
    # visible_at is when a receive may return the row: a delay's end, a lease's end, or NULL while an earlier message of
    # its group is there. receipt is the number of the delivery that holds the lease, or NULL.
    # first_received_at means something once deliveries isn't 0. Until then it holds the place: a row that keeps its
    # length is changed where it lies, while one that grows is written anew with the whole body.
    """
    CREATE TABLE message(
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        id TEXT NOT NULL,
        group_key TEXT,
        due_at INTEGER NOT NULL,
        visible_at INTEGER,
        receipt INTEGER,
        deliveries INTEGER NOT NULL DEFAULT 0,
        runs INTEGER NOT NULL DEFAULT 0,
        first_received_at INTEGER NOT NULL,
        failure BLOB,
        body BLOB NOT NULL
    )
    """,
    # receipt is there so that stats are answered from the index alone.
    "CREATE INDEX message_visible ON message(queue, visible_at, seq, receipt)",
    "CREATE INDEX message_group ON message(queue, group_key, seq) WHERE group_key IS NOT NULL",
    """
    CREATE TABLE dead(
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        id TEXT NOT NULL,
        group_key TEXT,
        dead_at INTEGER NOT NULL,
        visible_at INTEGER NOT NULL DEFAULT 0,
        receipt INTEGER,
        deliveries INTEGER NOT NULL,
        runs INTEGER NOT NULL,
        first_received_at INTEGER NOT NULL,
        failure BLOB,
        body BLOB NOT NULL
    )
    """,
    "CREATE INDEX dead_queue ON dead(queue, seq)",
    """
    CREATE TABLE dedup(
        queue TEXT NOT NULL,
        native_id TEXT NOT NULL,
        id TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (queue, native_id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX dedup_expires ON dedup(expires_at)",
)

# Leases go by elapsed time, which can't be set, of one boot of the machine (boot.py).
_V2: Final[Migration] = (
    # The number of the boot by whose clock visible_at is the lease's end, from 2^60 on. Where there is no lease,
    # visible_at is by the wall clock, and boot is 0 if the message wasn't delayed, else NULL. due_at is the lease's end
    # by the wall clock, for those who can't read that boot's clock. The number of a lease is deliveries.
    "ALTER TABLE message RENAME COLUMN receipt TO boot",
    "UPDATE message SET boot = 0, due_at = visible_at, visible_at = visible_at + (1 << 60) WHERE boot IS NOT NULL",
    "ALTER TABLE dead RENAME COLUMN receipt TO boot",
    # At the end of a row, behind the body: dead letters are leased so seldom that it may be written anew.
    "ALTER TABLE dead ADD COLUMN lease_end INTEGER NOT NULL DEFAULT 0",
    "UPDATE dead SET boot = 0, lease_end = visible_at, visible_at = visible_at + (1 << 60) WHERE boot IS NOT NULL",
    "CREATE TABLE boot(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
)

# A number is used once only: a receipt of a message that is gone must fit no other. Noting the last one is left to the
# deletion of the newest message, since noting each costs a send a third of its commit.
_V3: Final[Migration] = (
    "CREATE TABLE last(seq INTEGER NOT NULL)",
    "INSERT INTO last VALUES (coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'message'), 0))",
    """
    CREATE TRIGGER newest_deleted AFTER DELETE ON message
    WHEN NOT EXISTS (SELECT 1 FROM message WHERE seq > OLD.seq)
    BEGIN
        UPDATE last SET seq = OLD.seq WHERE seq < OLD.seq;
    END
    """,
)

# By whom a queue is shared, where its messages say so (others are in no index of it, so that it costs them nothing),
# and which queues are paused.
_V4: Final[Migration] = (
    "ALTER TABLE message ADD COLUMN fair_key TEXT",
    "CREATE INDEX message_fair ON message(queue, fair_key, visible_at, seq) WHERE fair_key IS NOT NULL",
    "CREATE TABLE paused(queue TEXT PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID",
)

# The n-th makes version n of version n - 1. Released ones never change.
MIGRATIONS: Final[tuple[Migration, ...]] = (_V1, _V2, _V3, _V4)

# Without AUTOINCREMENT, which writes a page more at each insertion. An older file keeps it: there may be much in it,
# and programs that insert without regard to `last` may have it open.
_COUNTED: Final = "INTEGER PRIMARY KEY AUTOINCREMENT"
_UNCOUNTED: Final = "INTEGER PRIMARY KEY"
_NOTES_THE_LAST: Final = 3  # the version from which on nothing relies on AUTOINCREMENT


def check(connection: sqlite3.Connection, path: Path, *, known: int = len(MIGRATIONS)) -> None:
    """Only looks.

    Raises:
        SchemaMismatch: The file is another program's, or of a newer cloudq than this one.
    """
    refuse_foreign(connection, path)
    version = pragma(connection, "user_version")
    if version > known:
        raise SchemaMismatch(
            f"{path} has schema version {version}; this cloudq knows versions up to {known}",
            hint="upgrade cloudq here, or choose another file",
        )


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Brings a checked database to the newest version, in the transaction that the caller has begun."""
    version = pragma(connection, "user_version")
    if version == len(migrations):
        return
    new = not version and len(migrations) >= _NOTES_THE_LAST
    for migration in migrations[version:]:
        for statement in migration:
            connection.execute(_uncounted(statement) if new else statement)
    make_ours(connection)
    connection.execute(f"PRAGMA user_version={len(migrations)}")


def prepare(connection: sqlite3.Connection, boot: str | None) -> int:
    """Migrates, and numbers the boot, in the transaction that the caller has begun."""
    migrate(connection)
    return number_in(connection, boot, table="boot", ended=partial(_end_leases, connection))


def _end_leases(connection: sqlite3.Connection, boot: int) -> None:
    """Ends those of a boot that is over: nobody who held them lives."""
    # Its first receive is a moment that has passed; what was under a lease is among the oldest that are ready.
    connection.execute("UPDATE message SET boot = 0, visible_at = first_received_at WHERE boot = ?", (boot,))
    connection.execute("UPDATE dead SET boot = NULL, visible_at = 0 WHERE boot = ?", (boot,))


def _uncounted(statement: str) -> str:
    """The statement that makes the table of messages, without AUTOINCREMENT; any other one as it is."""
    return statement.replace(_COUNTED, _UNCOUNTED) if "CREATE TABLE message(" in statement else statement
