"""The user's database by its URL."""

from __future__ import annotations

import socket
import sqlite3
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cloudq.errors import ConfigurationError, StoreUnavailable
from cloudq.user_database.by_url import connected
from cloudq.user_database.statements import Statement


def plain(engine: Engine) -> str:
    """The URL as users write it."""
    if engine.dialect.name == "sqlite":
        return str(engine.url)
    return engine.url.set(drivername=engine.dialect.name).render_as_string(hide_password=False)


class TestConnected:
    def test_each_of_the_three(self, engine: Engine) -> None:
        """A connection, closed at the end."""
        with connected(plain(engine)) as database:
            assert database.do(Statement("select 1")).rows[0][0] == 1

    def test_a_file_that_is_not_there_is_not_made(self, tmp_path: Path) -> None:
        """A mistyped name would look like an empty database."""
        with pytest.raises(ConfigurationError, match="there is no file"), connected(f"sqlite:///{tmp_path}/none.db"):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_what_can_not_be_used(self) -> None:
        """No password is shown."""
        for url in ("redis://:hunter2@host", "postgresql://me:hunter2@host"):
            with pytest.raises(ConfigurationError) as refused, connected(url):
                pass
            assert "hunter2" not in str(refused.value)

    def test_what_the_outbox_takes_it_takes_too(self, tmp_path: Path) -> None:
        """A worker sweeps the inbox beside its outbox, by the outbox's URL."""
        path = tmp_path / "my shop.db"
        sqlite3.connect(path).close()
        for url in (f"sqlite:///{tmp_path}/my%20shop.db", f"sqlite+pysqlite:///{path}"):
            with connected(url) as database:
                assert database.do(Statement("select 1")).rows[0][0] == 1

    def test_a_server_that_is_away_may_be_back_later(self) -> None:
        """So commands end with the exit code for that; no password is shown."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and nobody listens
            url = f"postgresql://me:hunter2@127.0.0.1:{taken.getsockname()[1]}/shop"
            with pytest.raises(StoreUnavailable, match="can't be reached") as raised, connected(url):
                pass
        assert "hunter2" not in str(raised.value)

    def test_a_package_that_is_missing_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The extra brings it."""
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(ConfigurationError, match=r"cloudq\[sql\]"), connected("postgresql://me@host/shop"):
            pass
