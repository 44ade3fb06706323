"""What is recognised, what is refused, and what isn't imported for it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from cloudq.errors import TransactionRefused
from cloudq.user_database import Dialect, opened


class TestOpened:
    def test_sqlite3(self) -> None:
        """A driver's connection, and one of a class that the user derived from it."""

        class Own(sqlite3.Connection):
            """A user's."""

        for connection in (sqlite3.connect(":memory:"), sqlite3.connect(":memory:", factory=Own)):
            database = opened(connection)
            assert database.dialect is Dialect.SQLITE
            assert database.given is connection
            connection.close()

    def test_sqlalchemy(self) -> None:
        """Connections and sessions, those of a scope too."""
        engine = create_engine("sqlite://")
        with engine.connect() as connection, Session(engine) as session:
            scope = scoped_session(sessionmaker(engine))
            for given in (connection, session, scope):
                assert opened(given).dialect is Dialect.SQLITE
                assert not opened(given).is_async
            scope.remove()
        engine.dispose()

    def test_what_makes_connections_is_no_connection(self) -> None:
        """The hint says how to get one."""
        engine = create_engine("sqlite://")
        with pytest.raises(TransactionRefused) as engines:
            opened(engine)
        with pytest.raises(TransactionRefused) as makers:
            opened(sessionmaker(engine))
        assert "engine.connect()" in str(engines.value.hint)
        assert "Session()" in str(makers.value.hint)

    @pytest.mark.parametrize("given", [None, "sqlite:///a.db", object(), sqlite3.connect(":memory:").cursor()])
    def test_anything_else_is_refused(self, given: object) -> None:
        """Naming its type, and what would do."""
        with pytest.raises(TransactionRefused, match=r"no connection that cloudq knows.*SQLAlchemy"):
            opened(given)

    def test_two_at_once_are_refused(self) -> None:
        """Which one is meant can't be known."""
        with pytest.raises(TransactionRefused, match="both given"):
            opened(object(), using="default")

    def test_nothing_is_imported_for_it(self) -> None:
        """Neither SQLAlchemy nor Django, unless the user's connection is of them."""
        program = (
            "import sqlite3, sys; from cloudq.user_database import opened; opened(sqlite3.connect(':memory:')); "
            "print(sorted({'sqlalchemy', 'django', 'psycopg', 'pymysql'} & set(sys.modules)))"
        )
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        assert run.stdout.strip() == "[]"
