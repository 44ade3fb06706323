"""The version of the store's tables, beside the backend's."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from cloudq.errors import SchemaMismatch
from cloudq.stores.sqlite import schema


def test_the_version_is_kept(path: Path, opened) -> None:
    """In a row: SQLite's own number is the backend's."""
    opened().close()
    connection = sqlite3.connect(path)
    assert schema.version_in(connection) == len(schema.MIGRATIONS)
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()


def test_opening_again_changes_nothing(path: Path, opened) -> None:
    """One row, and the boot keeps its number."""
    for _ in range(3):
        opened().close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT version FROM store_schema").fetchall() == [(len(schema.MIGRATIONS),)]
    assert connection.execute("SELECT count(*) FROM store_boot").fetchone() == (1,)
    connection.close()


def test_a_newer_version_is_refused(path: Path, opened) -> None:
    """Its rows may mean something else; the file is left as it is."""
    opened().close()
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO store_schema VALUES (99)")
    connection.commit()
    connection.close()
    with pytest.raises(SchemaMismatch, match="version 99; this cloudq knows versions up to"):
        opened()


def test_an_older_version_is_migrated(path: Path, opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the embedded backend does: nobody has to be asked, and nothing is lost."""
    opened().close()
    newer = (*schema.MIGRATIONS, ("ALTER TABLE store_claim ADD COLUMN more TEXT",))
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    opened().close()
    connection = sqlite3.connect(path)
    assert schema.version_in(connection) == len(newer)
    assert "more" in [row[1] for row in connection.execute("PRAGMA table_info(store_claim)")]
    connection.close()


def test_a_migration_that_fails_changes_nothing(path: Path, opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is one transaction."""
    opened().close()
    broken = (*schema.MIGRATIONS, ("ALTER TABLE store_claim ADD COLUMN more TEXT", "UPDATE missing SET x = 1"))
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(Exception, match="missing"):
        opened()
    connection = sqlite3.connect(path)
    assert schema.version_in(connection) == len(broken) - 1
    assert "more" not in [row[1] for row in connection.execute("PRAGMA table_info(store_claim)")]
    connection.close()


def test_the_migrations_can_be_shown(path: Path, opened) -> None:
    """As SQL, which makes of a new file what opening a store does, but for whose boot it is."""
    opened().close()
    made = sqlite3.connect(path)
    shown = sqlite3.connect(":memory:")
    shown.executescript(schema.sql())
    tables = "SELECT name, sql FROM sqlite_schema ORDER BY name"

    def words(connection: sqlite3.Connection) -> list[object]:
        return [(name, sql and " ".join(sql.split())) for name, sql in connection.execute(tables)]

    assert words(shown) == words(made)
    assert schema.version_in(shown) == len(schema.MIGRATIONS)
    made.close()
    shown.close()
