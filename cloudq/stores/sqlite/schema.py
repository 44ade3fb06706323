"""The store's tables, beside those of the embedded backend, and how older ones become newer ones.

Their version is a row of a table: SQLite's own `user_version` is that of the backend's tables.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from textwrap import dedent
from typing import Final, TypeAlias

from cloudq.errors import SchemaMismatch
from cloudq.sqlite_file.boot import UNKNOWN
from cloudq.sqlite_file.tables import make_ours, refuse_foreign

Migration: TypeAlias = "tuple[str, ...]"

_V1: Final[Migration] = (
    "CREATE TABLE store_schema(version INTEGER PRIMARY KEY)",
    # Boots of the machine, by whose clocks spans go (sqlite_file.boot). A number is never used again: rows of a boot
    # that is over keep it, and going through all rows at a start would take long.
    "CREATE TABLE store_boot(number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE)",
    # The greatest token of those whose records are gone, so that tokens grow though the wall clock was set back.
    "CREATE TABLE store_last(token INTEGER NOT NULL)",
    "INSERT INTO store_last VALUES (0)",
    # Each end is there by the wall clock and by that of the row's boot. task and key are there for people.
    """
    CREATE TABLE store_claim(
        digest BLOB PRIMARY KEY,
        namespace TEXT NOT NULL,
        task TEXT NOT NULL,
        key TEXT NOT NULL,
        token INTEGER NOT NULL,
        owner TEXT NOT NULL,
        boot INTEGER NOT NULL,
        held_wall INTEGER,
        held_mark INTEGER,
        kept_wall INTEGER NOT NULL,
        kept_mark INTEGER NOT NULL,
        completed_at INTEGER,
        fingerprint BLOB,
        result BLOB
    ) WITHOUT ROWID
    """,
    "CREATE INDEX store_claim_kept ON store_claim(kept_wall)",
    """
    CREATE TABLE store_note(
        digest BLOB PRIMARY KEY,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        boot INTEGER NOT NULL,
        written_wall INTEGER NOT NULL,
        written_mark INTEGER NOT NULL,
        kept_wall INTEGER NOT NULL,
        kept_mark INTEGER NOT NULL,
        note BLOB NOT NULL
    )
    """,
    "CREATE INDEX store_note_kept ON store_note(kept_wall)",
)

# The n-th makes version n of version n - 1. Released ones never change.
MIGRATIONS: Final[tuple[Migration, ...]] = (_V1,)
_NOTE_VERSION: Final = "INSERT INTO store_schema VALUES ({})"


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Only looks.

    Raises:
        SchemaMismatch: The file is another program's, or of a newer cloudq than this one.
    """
    refuse_foreign(connection, path)
    version = version_in(connection)
    if version > len(MIGRATIONS):
        raise SchemaMismatch(
            f"the store in {path} has schema version {version}; this cloudq knows versions up to {len(MIGRATIONS)}",
            hint="upgrade cloudq here, or choose another file for the store",
        )


def prepare(connection: sqlite3.Connection, boot: str | None) -> int:
    """Migrates, and numbers the boot, in the transaction that the caller has begun."""
    version = version_in(connection)
    if version < len(MIGRATIONS):
        make_ours(connection)
        for made, migration in enumerate(MIGRATIONS[version:], version + 1):
            for statement in (*migration, _NOTE_VERSION.format(made)):
                connection.execute(statement)
    if boot is None:
        return UNKNOWN
    connection.execute("INSERT INTO store_boot(name) VALUES (?) ON CONFLICT DO NOTHING", (boot,))
    number: int = connection.execute("SELECT number FROM store_boot WHERE name = ?", (boot,)).fetchone()[0]
    return number


def sql() -> str:
    """All migrations as one text."""
    statements = [
        statement
        for number, migration in enumerate(MIGRATIONS, 1)
        for statement in (*migration, _NOTE_VERSION.format(number))
    ]
    return "".join(f"{dedent(statement).strip()};\n" for statement in statements)


def version_in(connection: sqlite3.Connection) -> int:
    """The version of the store's tables; 0 where there are none."""
    named = connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'store_schema'").fetchone()
    if named is None:
        return 0
    found = connection.execute("SELECT max(version) FROM store_schema").fetchone()[0]
    return int(found or 0)
