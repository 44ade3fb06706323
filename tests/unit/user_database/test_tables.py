"""Tables of cloudq's own, as SQL and as made."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from cloudq.user_database.statements import Answer, Dialect, Statement
from cloudq.user_database.tables import Table, creating

STATEMENTS = ("create table if not exists own (a)", "create index if not exists own_a on own (a)")
TABLE = Table("own", {Dialect.SQLITE: STATEMENTS})


class TestTable:
    def test_its_sql_is_a_file_that_runs(self) -> None:
        """Each statement ended, twice too."""
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(TABLE.sql(Dialect.SQLITE) * 2)
            found = connection.execute("select name from sqlite_master order by name").fetchall()
        assert found == [("own",), ("own_a",)]

    def test_creating_is_its_statements_one_by_one(self) -> None:
        """Drivers take one at a time."""
        script = creating([TABLE], Dialect.SQLITE)
        assert [next(script), script.send(Answer())] == [Statement(text) for text in STATEMENTS]
