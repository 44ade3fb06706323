"""A user's database for tests of edges: SQLite in a file, and a task that writes into it in `context.transaction`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cloudq import App, Context
from cloudq.user_database import Dialect, inbox


class Ledger:
    """Rows that a task writes, with nothing that would keep it from writing them twice."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.db"
        with closing(self.connect()) as connection:
            connection.executescript("create table entry (name text);" + inbox.TABLE.sql(Dialect.SQLITE))

    def connect(self) -> sqlite3.Connection:
        """A connection of its own."""
        return sqlite3.connect(self.path)

    def declare(self, app: App, name: str = "book", before_end: Callable[[Context], None] = lambda _: None) -> None:
        """Declares the task. `before_end` runs behind the block."""

        @app.task(name)
        def book(context: Context, n: int = 0) -> None:
            with closing(self.connect()) as connection:
                with context.transaction(connection):
                    connection.execute("insert into entry values (?)", [f"{n}"])
                before_end(context)

    def entries(self) -> list[str]:
        """What was written."""
        with closing(self.connect()) as connection:
            return [row[0] for row in connection.execute("select name from entry order by name")]
