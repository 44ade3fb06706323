"""Whose file it is, and how an older one becomes a newer one."""

import sqlite3

import pytest

from cloudq.drivers.sqlite import schema
from cloudq.errors import SchemaMismatch, StorageCorrupt


def test_a_new_file_has_the_newest_version(bench, driver):
    """A file that is created carries our application id and the newest schema version."""
    assert [(schema.APPLICATION_ID,)] == bench.query("PRAGMA application_id")
    assert [(len(schema.MIGRATIONS),)] == bench.query("PRAGMA user_version")


def test_an_empty_file_becomes_a_database(bench):
    """A file of no bytes is treated as none."""
    bench.path.touch()
    driver = bench.open()
    bench.send(driver, "a")
    assert ["a"] == [one.id for one in bench.receive(driver)]


def test_what_was_stored_is_there_after_reopening(bench):
    """Closing and opening again loses nothing."""
    first = bench.open()
    bench.send(first, "a", "b")
    first.close()
    assert ["a", "b"] == [one.id for one in bench.receive(bench.open())]


def test_another_programs_database_is_refused_and_left_alone(bench):
    """A database with tables of its own is a SchemaMismatch with a hint, and not a byte of it changes."""
    connection = sqlite3.connect(bench.path)
    connection.execute("CREATE TABLE customer(name)")
    connection.close()
    before = bench.path.read_bytes()
    with pytest.raises(SchemaMismatch, match="another program") as raised:
        bench.open()
    assert "choose another file" in raised.value.hint
    assert before == bench.path.read_bytes()


def test_a_database_of_a_newer_cloudq_is_refused_and_left_alone(bench):
    """A schema version that this code doesn't know is a SchemaMismatch naming both, and nothing changes."""
    bench.open().close()
    connection = sqlite3.connect(bench.path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = bench.path.read_bytes()
    with pytest.raises(SchemaMismatch, match=f"version 99; this cloudq knows versions up to {len(schema.MIGRATIONS)}"):
        bench.open()
    assert before == bench.path.read_bytes()


@pytest.mark.parametrize("garbage", [b"x", b"x" * 511, b"not a database\n" * 1000], ids=["byte", "fragment", "long"])
def test_a_file_that_is_no_database_is_refused_and_left_alone(bench, garbage):
    """Any other file is StorageCorrupt, and not a byte of it changes."""
    bench.path.write_bytes(garbage)
    with pytest.raises(StorageCorrupt, match="isn't an intact cloudq database"):
        bench.open()
    assert garbage == bench.path.read_bytes()


def test_an_older_version_is_migrated_with_its_rows(bench, monkeypatch):
    """A file of version n gets the migrations behind n, in order, and keeps its messages."""
    bench.send(old := bench.open(), "kept")
    old.close()
    more = ("ALTER TABLE message ADD COLUMN note TEXT", "UPDATE message SET note = 'migrated'")
    newer = (*schema.MIGRATIONS, more)
    connection = sqlite3.connect(bench.path, isolation_level=None)
    schema.check(connection, bench.path, known=len(newer))
    connection.execute("BEGIN IMMEDIATE")
    schema.migrate(connection, newer)
    connection.execute("COMMIT")
    assert [("kept", "migrated")] == connection.execute("SELECT id, note FROM message").fetchall()
    assert [(len(newer),)] == connection.execute("PRAGMA user_version").fetchall()
    connection.close()


def test_a_migration_that_fails_changes_nothing(bench):
    """All migrations are one transaction: if the second fails, the first didn't happen, nor did the version."""
    bench.open().close()
    connection = sqlite3.connect(bench.path, isolation_level=None)
    newer = (*schema.MIGRATIONS, ("ALTER TABLE message ADD COLUMN note TEXT",), ("UPDATE missing SET x = 1",))
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="missing"):
        schema.migrate(connection, newer)
    connection.execute("ROLLBACK")
    columns = [row[1] for row in connection.execute("PRAGMA table_info(message)")]
    assert "note" not in columns
    assert [(len(schema.MIGRATIONS),)] == connection.execute("PRAGMA user_version").fetchall()
    connection.close()
