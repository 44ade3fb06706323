"""NOTIFY on a real PostgreSQL, with PgBouncer before it, and where it breaks."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.errors import ConfigurationError, StoreUnavailable
from cloudq.relay import listening as listening_module
from cloudq.relay.listening import Listener

PATIENCE = 60


class Ring:
    """Hears the listener."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.count = 0

    def __call__(self) -> None:
        with self.changed:
            self.count += 1
            self.changed.notify_all()

    def until(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.count >= count, PATIENCE), self.count


@pytest.fixture
def database(postgresql: str) -> Iterator[str]:
    """A database with an outbox that notifies."""
    from cloudq.outbox.opening import create_tables

    create_tables(postgresql, notify=True)
    yield postgresql
    from sqlalchemy import create_engine, inspect

    engine = create_engine(postgresql)
    tables = [name for name in inspect(engine).get_table_names() if name.startswith("cloudq_outbox")]
    engine.dispose()
    execute(postgresql, *(f"drop table {name}" for name in tables))


def execute(url: str, *statements: str) -> None:
    """Runs statements, each committed."""
    from sqlalchemy import create_engine, text

    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


INSERT = (
    "insert into cloudq_outbox (namespace, queue, task, body, key_digest, number, created_at) "
    "values ('', 'q', 't', '', '', 0, 0)"
)


def test_hears_new_messages(database: str) -> None:
    """A committed message rings; one that is rolled back doesn't; the listener ends when it is told to."""
    from sqlalchemy import create_engine, text

    ring = Ring()
    listener = Listener(database, ring, clock=SYSTEM_CLOCK)
    listener.check()
    listener.start()
    try:
        ring.until(1)  # it looks once it listens
        assert listener.hears
        engine = create_engine(database)
        with engine.connect() as connection:
            connection.execute(text(INSERT))
            connection.rollback()
        assert 1 == ring.count
        with engine.begin() as connection:
            connection.execute(text(INSERT))
            connection.execute(text(INSERT))
        ring.until(2)
        engine.dispose()
    finally:
        listener.stop()
    listener._thread.join(PATIENCE)
    assert not listener.hears


def test_connects_again(database: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where its connection is ended it says so, has the relay poll, and connects again."""
    caplog.set_level("INFO")
    ring = Ring()
    listener = Listener(database, ring, clock=SYSTEM_CLOCK)
    listener.start()
    try:
        ring.until(1)
        its_own = "from pg_stat_activity where query = 'listen cloudq_outbox' and datname = current_database()"
        execute(database, "select pg_terminate_backend(pid) " + its_own)
        ring.until(3)  # it broke; it listens again
        assert listener.hears
    finally:
        listener.stop()
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("nothing tells of new messages, so the relay polls until it hears again:")
    assert "the relay hears of new messages again" == said[1]


def test_pgbouncer_swallows_it(database: str, pgbouncer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a pooler of transactions a LISTEN brings nothing, without an error: the self-test finds out."""
    from datetime import timedelta

    monkeypatch.setattr(listening_module, "PATIENCE", timedelta(seconds=0.5))
    with pytest.raises(ConfigurationError, match="doesn't hear what is notified") as refused:
        Listener(pgbouncer, lambda: None, clock=SYSTEM_CLOCK).check()

    assert "name the PostgreSQL server itself" in (refused.value.hint or "")


def test_no_trigger(database: str) -> None:
    """Tables that don't notify are refused, with what makes the trigger."""
    execute(database, "drop trigger cloudq_outbox_notify on cloudq_outbox")
    with pytest.raises(ConfigurationError, match="has no trigger") as refused:
        Listener(database, lambda: None, clock=SYSTEM_CLOCK).check()

    assert "cloudq outbox schema --notify" in (refused.value.hint or "")


def test_no_server() -> None:
    """A server that can't be reached is no mistake in the settings."""
    with pytest.raises(StoreUnavailable):
        Listener("postgresql://cloudq@127.0.0.1:1/none", lambda: None, clock=SYSTEM_CLOCK).check()


@pytest.mark.parametrize(
    "url", ["mysql+pymysql://127.0.0.1/shop", "sqlite:///shop.db", "shop", "postgresql+nothing://x"]
)
def test_only_postgresql(url: str) -> None:
    """Other databases notify of nothing."""
    with pytest.raises(ConfigurationError, match="listen_url"):
        Listener(url, lambda: None, clock=SYSTEM_CLOCK)
