"""`cloudq inbox`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from cloudq.user_database import opened
from cloudq.user_database.inbox import Completion, insertion


@pytest.fixture
def database(tmp_path):
    """A file with the table, made by what the command prints elsewhere, and rows in it."""
    from cloudq import create_inbox

    path = tmp_path / "user.db"
    with closing(sqlite3.connect(path)) as connection:
        create_inbox(connection)
        user = opened(connection)
        for number in range(5):
            keep = timedelta(0) if number < 3 else timedelta(days=1)
            completion = Completion(
                namespace=f"space {number}", tasks=("pay",), key=f"k{number % 4}", source="web", message="m", keep=keep
            )
            user.do(insertion(completion, user.dialect))
        connection.commit()
    return path


def left(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("select count(*) from cloudq_inbox").fetchone()[0]


@pytest.mark.parametrize("dialect", ["postgresql", "mysql", "mariadb", "sqlite"])
def test_schema(cli, dialect):
    """It is printed, and nothing but it: it can be put into a file."""
    result = cli("inbox", "schema", "--dialect", dialect)
    assert (0, "") == (result.code, result.err)
    assert result.out.startswith("create table if not exists cloudq_inbox (")
    assert result.out.rstrip().endswith(";")


def test_the_schema_is_what_sqlite_takes(cli):
    """As it is printed."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(cli("inbox", "schema", "--dialect", "sqlite").out)
        assert connection.execute("select * from cloudq_inbox").fetchall() == []


def test_another_dialect_is_refused(cli):
    """The nearest is named."""
    result = cli("inbox", "schema", "--dialect", "postgres")
    assert 2 == result.code
    assert "did you mean 'postgresql'?" in result.err


def test_sweep(cli, database):
    """All that is old goes, however small the batches; nothing else does."""
    result = cli("inbox", "sweep", f"sqlite:///{database}", "--limit", "1", "--json")
    assert (0, {"removed": 3}) == (result.code, json.loads(result.out))
    assert 2 == left(database)
    assert "removed 0 rows\n" == cli("inbox", "sweep", f"sqlite:///{database}").out


def test_forget(cli, database):
    """Every row of the key, or those of one namespace; what isn't there is exit code 1."""
    forget = ("inbox", "forget", f"sqlite:///{database}", "pay")
    assert {"removed": 1} == json.loads(cli(*forget, "k0", "--namespace", "space 4", "--yes", "--json").out)
    assert "forgot 1 rows\n" == cli(*forget, "k0", "--yes").out
    assert (1, "no row of that key is there\n") == cli(*forget, "k0", "--yes")[:2]
    assert 3 == left(database)


def test_nothing_is_forgotten_unasked(cli, database):
    """Off a terminal it needs --yes."""
    result = cli("inbox", "forget", f"sqlite:///{database}", "pay", "k0")
    assert 2 == result.code
    assert "--yes" in result.err
    assert 5 == left(database)


def test_a_database_that_is_not_there(cli, tmp_path):
    """No file is made; a table that is missing is named."""
    for command in (("sweep",), ("forget",)):
        more = ("pay", "k0", "--yes") if command == ("forget",) else ()
        result = cli("inbox", *command, f"sqlite:///{tmp_path}/none.db", *more)
        assert 2 == result.code
        assert "there is no file" in result.err
        assert not (tmp_path / "none.db").exists()
    (tmp_path / "empty.db").touch()
    result = cli("inbox", "sweep", f"sqlite:///{tmp_path}/empty.db")
    assert 0 != result.code
    assert "cloudq_inbox isn't in this database" in result.err
