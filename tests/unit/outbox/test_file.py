"""An outbox in a SQLite file: one reader at a time, which holds up no producer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from cloudq.errors import LeaseLost, SchemaMismatch, StoreUnavailable
from cloudq.outbox.opening import create_tables, open_outbox
from cloudq.outbox.reading import OutboxReader
from tests.unit.outbox.conftest import bodies, drop_tables, publish, send

Lapse = Callable[[], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the tables."""
    file = tmp_path / "user.db"
    file.touch()
    create_tables(f"sqlite:///{file}")
    return file


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    """The user's own engine."""
    engine = create_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def opened(path: Path, **options: timedelta) -> OutboxReader:
    """A reader."""
    return open_outbox(f"sqlite:///{path}", **options)  # type: ignore[arg-type]


def let_lapse(path: Path) -> None:
    """As if the lease of whoever reads were over."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("update cloudq_outbox_relays set held_until = 1")
        connection.commit()


def test_one_reader_at_a_time(engine: Engine, path: Path) -> None:
    """Until its lease is over; what it had then is the next one's."""
    send(engine, "a", "k:1")
    first, second = opened(path), opened(path)
    batch = first.take(1)
    assert second.take(10) is None
    let_lapse(path)
    assert bodies(second.take(10)) == ["a", "k:1"]
    assert batch is not None
    with pytest.raises(LeaseLost, match="another relay has read"):
        batch.settle(published=[row.id for row in batch.rows])
    assert first.take(10) is None
    for reader in (first, second):
        reader.close()


def test_a_lease_that_nobody_took_over_counts(engine: Engine, path: Path) -> None:
    """What was published late is marked all the same."""
    send(engine, "a")
    reader = opened(path)
    batch = reader.take(1)
    let_lapse(path)
    assert publish(batch) == ["a"]
    assert reader.take(1) is None
    reader.close()


def test_a_reader_with_nothing_to_do_writes_nothing(engine: Engine, path: Path) -> None:
    """A look while another one writes waits for nobody."""
    reader = opened(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        assert reader.take(10) is None
        writer.execute("rollback")
    assert reader.take(10) is None
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from cloudq_outbox_relays").fetchone() == (0,)
    reader.close()


def test_a_producer_isn_t_held_up_by_a_batch(engine: Engine, path: Path) -> None:
    """No transaction is open while it is published."""
    send(engine, "a")
    reader = opened(path)
    batch = reader.take(10)
    send(engine, "b")
    assert publish(batch) == ["a"]
    assert publish(reader.take(10)) == ["b"]
    reader.close()


def test_relays_of_two_namespaces_read_beside_each_other(engine: Engine, path: Path) -> None:
    """Each has rows of its own."""
    send(engine, "a")
    send(engine, "b", namespace="other")
    first, second = opened(path), open_outbox(f"sqlite:///{path}", "other")
    assert (bodies(first.take(1)), bodies(second.take(1))) == (["a"], ["b"])
    first.close()
    second.close()


def test_the_file_s_own_settings_stay(path: Path) -> None:
    """It is the user's."""
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("pragma journal_mode").fetchone()
    opened(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == before == ("delete",)


def test_a_file_that_isn_t_there_isn_t_made(tmp_path: Path) -> None:
    """Its name may be a mistake."""
    with pytest.raises(StoreUnavailable, match="unable to open"):
        opened(tmp_path / "missing.db")
    assert list(tmp_path.iterdir()) == []


def test_tables_that_are_dropped_meanwhile_are_missed_by_name(path: Path) -> None:
    """Not as a failure of the database."""
    reader = opened(path)
    drop_tables(f"sqlite:///{path}")
    with pytest.raises(SchemaMismatch, match="aren't in this database"):
        reader.take(1)
    reader.close()
