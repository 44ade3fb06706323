"""What an operator asks for: the tables' migration, or its SQL, by a store's URL."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

from cloudq.core.clock import Clock
from cloudq.core.store_url import StoreUrl
from cloudq.sqlite_file.parameters import is_full, mode_of, path_of
from cloudq.stores.sqlite import schema
from cloudq.stores.sqlite.file import StoreFile


class _Noting:
    """The store's tables, and the version in which they were found."""

    found = 0

    def check(self, connection: sqlite3.Connection, path: Path) -> None:
        schema.check(connection, path)
        self.found = schema.version_in(connection)

    def prepare(self, connection: sqlite3.Connection, boot: str | None) -> int:
        return schema.prepare(connection, boot)


def migrate_url(url: StoreUrl, timeout: timedelta, clock: Clock) -> tuple[int, int]:
    """Brings the tables to the newest version, as opening the store does by itself.

    Returns:
        The version before, 0 for none, and after.

    Raises:
        ConfigurationError: The URL can't be used.
        SchemaMismatch: The file is another program's database, or of a newer cloudq.
        StoreRefused: It can't be opened or written.
        StoreUnavailable: Others hold it.
    """
    url.options("synchronous", "mode")
    tables = _Noting()
    StoreFile(path_of(url), clock=clock, timeout=timeout, full=is_full(url), mode=mode_of(url), tables=tables).close()
    return tables.found, len(schema.MIGRATIONS)


def sql_of(url: StoreUrl) -> str:
    """All migrations, from the first one, as SQL. Opens nothing.

    Raises:
        ConfigurationError: The URL can't be used.
    """
    path_of(url)
    return schema.sql()
