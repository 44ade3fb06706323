"""Notes in a database, on SQLite's engine with MySQL's words; the store conformance kit has the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

from sqlalchemy import Connection, create_engine, text

from cloudq.core.notes import Note, Written
from cloudq.stores.sql.dialect import NOTES
from cloudq.stores.sql.mysql import MySQL
from cloudq.stores.sql.notes import SqlNotes

DAY = timedelta(days=1)


class Bench:
    """A connection, whose answers can be lost."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.loses = False
        self.dialect = MySQL()
        self.dialect.now = "1000000"
        self.notes = SqlNotes("app", self.dialect, self.repeated)

    def repeated(self, call: Callable[[Connection], Any]) -> Any:
        """Makes the call, once more if its answer was lost."""
        if self.loses:
            call(self.connection)
        return call(self.connection)


@pytest.fixture
def bench() -> Iterator[Bench]:
    engine = create_engine("sqlite://", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(
            text(
                f"create table {NOTES} (digest blob primary key, namespace text, name text, version bigint,"
                " written_at bigint, kept_until bigint, note blob)"
            )
        )
        yield Bench(connection)
    engine.dispose()


def test_a_write_whose_answer_was_lost_knows_itself(bench: Bench) -> None:
    """The second try is refused by what the first one wrote."""
    bench.loses = True
    first = bench.notes.write("run 1", b"x", after=0, keep=DAY)
    assert isinstance(first, Written)
    second = bench.notes.write("run 1", b"y", after=first.version, keep=DAY)
    assert isinstance(second, Written)
    note = bench.notes.read("run 1")
    assert isinstance(note, Note)
    assert (note.text, note.version) == (b"y", second.version)


def test_what_is_refused_is_shown(bench: Bench) -> None:
    """And what is over is taken."""
    assert isinstance(bench.notes.write("run 1", b"x", after=0, keep=DAY), Written)
    found = bench.notes.write("run 1", b"y", after=0, keep=DAY)
    assert isinstance(found, Note)
    assert found.text == b"x"
    assert bench.notes.write("run 2", b"y", after=5, keep=DAY) is None
    bench.dialect.now = str(2 * 86_400_000_000)
    assert isinstance(bench.notes.write("run 1", b"y", after=0, keep=DAY), Written)


def test_a_sweep_is_bounded(bench: Bench) -> None:
    """To what was kept for long enough."""
    for number in range(3):
        bench.notes.write(f"run {number}", b"x", after=0, keep=timedelta(seconds=1))
    bench.notes.write("kept", b"x", after=0, keep=2 * DAY)
    bench.dialect.now = "10000000"
    assert [bench.notes.sweep(limit) for limit in (2, 0, 2, 2)] == [2, 0, 1, 0]
