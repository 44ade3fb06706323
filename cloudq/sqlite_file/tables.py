"""Whose tables are in a file: what a user of a `Database` says about its own, and that the file is cloudq's at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final, Protocol

from cloudq.errors import SchemaMismatch

# "cldq" in the file's header, so that `file` and we can tell whose database it is.
APPLICATION_ID: Final = 0x636C6471


class Tables(Protocol):
    """The tables of one user of the file. Several users may share one: none of them touches another's."""

    def check(self, connection: sqlite3.Connection, path: Path) -> None:
        """Only looks. Called before anything in the file is changed.

        Raises:
            SchemaMismatch: The file is another program's, or its tables are of a newer cloudq than this one.
        """
        ...

    def prepare(self, connection: sqlite3.Connection, boot: str | None) -> int:
        """Brings a checked file's tables to the newest version, in the write transaction that the caller has begun.

        Args:
            connection: The one that writes.
            boot: The name of the boot by whose clock spans go; `None` where the system names none.

        Returns:
            The number that these tables have for that boot.
        """
        ...


def refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Refuses a database that isn't cloudq's, unless there is nothing in it yet.

    Raises:
        SchemaMismatch: It is another program's. It was left as it is.
    """
    owner = pragma(connection, "application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if owner != APPLICATION_ID and (owner or pragma(connection, "user_version") or tables):
        raise SchemaMismatch(
            f"{path} is a database of another program; it was left as it is", hint="choose another file for cloudq"
        )


def make_ours(connection: sqlite3.Connection) -> None:
    """Marks the file as cloudq's, in the write transaction that the caller has begun."""
    if pragma(connection, "application_id") != APPLICATION_ID:
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")


def pragma(connection: sqlite3.Connection, name: str) -> int:
    """A number that SQLite keeps of a database."""
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
