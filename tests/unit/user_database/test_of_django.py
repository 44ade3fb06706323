"""Django's connections, by their alias."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudq.errors import TransactionRefused
from cloudq.user_database import Dialect, Move, opened, run
from tests.unit.user_database.test_of_sqlalchemy import one

django = pytest.importorskip("django")


@pytest.fixture
def connection(tmp_path: Path, django_site: None) -> Iterator[Any]:
    """The connection `user`, to a file with the table `effect`."""
    from django.db import connections

    own = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "user.db")}
    connections.settings["user"] = connections.configure_settings({"default": {}, "user": own})["user"]
    connection = connections["user"]
    with connection.cursor() as cursor:
        cursor.execute("create table effect (name text unique, note blob)")
    yield connection
    connection.close()
    del connections["user"]
    del connections.settings["user"]


def names(connection: Any) -> list[str]:
    """What the table holds."""
    with connection.cursor() as cursor:
        cursor.execute("select name from effect order by name")
        return [row[0] for row in cursor.fetchall()]


class TestDjangoDatabase:
    def test_commit_and_rollback(self, connection: Any) -> None:
        """By alias, by the connection, and by the proxy that stands for the default one."""
        from django.utils.connection import ConnectionProxy

        assert run(opened(using="user"), one("a", Move.COMMIT)) == [("a", b"\x00\xff'%:")]
        run(opened(connection), one("b", Move.ROLLBACK))
        from django.db import connections

        run(opened(ConnectionProxy(connections, "user")), one("c", Move.COMMIT))
        opened(connection).do(Move.ROLLBACK)  # none is open
        assert names(connection) == ["a", "c"]
        assert opened(connection).dialect is Dialect.SQLITE
        assert connection.get_autocommit()

    def test_on_commit_runs_after_the_commit_only(self, connection: Any) -> None:
        """As with any atomic block."""
        from django.db import transaction

        ran = []
        for name, end in (("a", Move.COMMIT), ("b", Move.ROLLBACK)):
            database = opened(using="user")
            database.do(Move.BEGIN)
            transaction.on_commit(lambda name=name: ran.append(name), using="user")  # type: ignore[misc]
            assert "a" not in ran or name == "b"
            database.do(end)
        assert ran == ["a"]

    def test_one_that_is_open_is_refused(self, connection: Any) -> None:
        """A block of the user's around it."""
        from django.db import transaction

        with transaction.atomic(using="user"), pytest.raises(TransactionRefused, match="open on this connection"):
            opened(using="user").do(Move.BEGIN)

    def test_the_one_around_a_test_case_is_none(self, connection: Any) -> None:
        """What Django's TestCase undoes in the end is no user's transaction."""
        from django.db import transaction

        outer: Any = transaction.atomic(using="user")
        outer._from_testcase = True
        with outer:
            run(opened(using="user"), one("a", Move.COMMIT))
            run(opened(using="user"), one("b", Move.ROLLBACK))
            assert names(connection) == ["a"]
            transaction.set_rollback(True, using="user")
        assert names(connection) == []

    def test_without_djangos_autocommit_nothing_would_commit(self, connection: Any) -> None:
        """So it is refused, and so is a join where each statement commits."""
        with pytest.raises(TransactionRefused, match="autocommit"):
            opened(using="user").do(Move.JOIN)
        connection.set_autocommit(False)
        with pytest.raises(TransactionRefused, match="nothing would commit"):
            opened(using="user").do(Move.BEGIN)
        opened(using="user").do(Move.JOIN)
        connection.rollback()
        connection.set_autocommit(True)

    def test_async_code_is_refused(self, connection: Any) -> None:
        """Django has no transactions there, neither with `with` nor with `async with`."""

        async def with_() -> None:
            opened(using="user").do(Move.BEGIN)

        async def async_with() -> None:
            await opened(using="user").ado(Move.BEGIN)

        with pytest.raises(TransactionRefused, match="no transactions in async code"):
            asyncio.run(with_())
        with pytest.raises(TransactionRefused, match="not async with"):
            asyncio.run(async_with())

    def test_an_alias_that_is_not_there(self, connection: Any) -> None:
        """Names the ones that are."""
        with pytest.raises(TransactionRefused, match=r"known: .*user"):
            opened(using="other")
