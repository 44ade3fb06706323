"""Whose file it is, and whose tables are in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.errors import SchemaMismatch
from cloudq.sqlite_file.connection import Database
from cloudq.sqlite_file.files import OWNER_ONLY
from cloudq.sqlite_file.tables import APPLICATION_ID, make_ours, pragma, refuse_foreign


class Letters:
    """Tables of the test's own, beside others."""

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, connection: sqlite3.Connection, path: Path) -> None:
        refuse_foreign(connection, path)

    def prepare(self, connection: sqlite3.Connection, boot: str | None) -> int:
        make_ours(connection)
        connection.execute(f"CREATE TABLE IF NOT EXISTS {self.name}(letter TEXT)")
        return 7


def opened(path: Path, name: str) -> Database:
    return Database(path, Letters(name), patience=timedelta(seconds=5), full=False, boot=None, mode=OWNER_ONLY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


def test_users_of_a_file_have_tables_beside_each_other(path: Path) -> None:
    """Each finds its own, with the number that it gave the boot; none is in the other's way."""
    one, other = opened(path, "one"), opened(path, "other")
    assert (one.boot, other.boot) == (7, 7)
    one.write(lambda cursor: cursor.execute("INSERT INTO one VALUES ('a')"), durable=True)
    other.write(lambda cursor: cursor.execute("INSERT INTO other VALUES ('b')"), durable=True)
    count = "SELECT (SELECT group_concat(letter) FROM one), (SELECT group_concat(letter) FROM other)"
    assert other.read(lambda cursor: cursor.execute(count).fetchone()) == ("a", "b")
    one.close()
    other.close()


def test_an_empty_file_is_anybodys(connection: sqlite3.Connection, path: Path) -> None:
    """It becomes ours by the mark."""
    refuse_foreign(connection, path)
    make_ours(connection)
    assert pragma(connection, "application_id") == APPLICATION_ID
    refuse_foreign(connection, path)


@pytest.mark.parametrize("theirs", ["CREATE TABLE t(x)", "PRAGMA user_version=3", "PRAGMA application_id=99"])
def test_a_file_of_another_program_is_refused(connection: sqlite3.Connection, path: Path, theirs: str) -> None:
    """Whatever tells it; and left as it is."""
    connection.execute(theirs)
    connection.commit()
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match="another program"):
        opened(path, "one")
    assert path.read_bytes() == before
