"""The store of idempotency keys and the outbox, as they stand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloudq import App
from cloudq.cli.doctor.fault import Where
from cloudq.cli.doctor.keeping import look_at_outbox, look_at_store
from cloudq.outbox.opening import create_tables

PASSWORD = "hunter2"  # noqa: S105 - to be found nowhere


@pytest.fixture
def app(tmp_path: Path):
    app = App(f"sqlite:///{tmp_path / 'queue.db'}")
    yield app
    app.close()


@pytest.fixture
def outbox(tmp_path: Path) -> str:
    """An empty outbox; its URL."""
    file = tmp_path / "shop.db"
    sqlite3.connect(file).close()
    create_tables(f"sqlite:///{file}")
    return f"sqlite:///{file}"


def store(url: str, age: timedelta, **columns: Any) -> None:
    """A message of that age."""
    names = "".join(f", {name}" for name in columns)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute(
            f"insert into cloudq_outbox (namespace, queue, task, body, key_digest, number, created_at{names})"  # noqa: S608
            " values ('', 'mail', 't', '{}', x'', 1, cast((julianday('now') - 2440587.5) * 86400000000 as integer) - ?"
            f"{', ?' * len(columns)})",
            (int(age.total_seconds() * 1_000_000), *columns.values()),
        )


def found(app: App, url: str) -> list[tuple[str, str]]:
    return [(one.fault.id, one.what) for one in look_at_outbox(app, url)]


def test_an_outbox_that_is_kept_up_with_has_no_fault(app, outbox):
    """Empty, or with what has just been stored."""
    assert [] == found(app, outbox)
    store(outbox, timedelta(seconds=5))
    assert [] == found(app, outbox)


def test_an_outbox_that_lags(app, outbox):
    """From a minute on."""
    store(outbox, timedelta(minutes=3))
    ((fault, what),) = found(app, outbox)
    assert "outbox-late" == fault
    assert "has waited for 18" in what
    assert "and 1 wait" in what


def test_messages_that_wait_for_a_person(app, outbox):
    """They are no lag: nobody publishes them."""
    store(outbox, timedelta(days=1), parked_at=1)
    ((fault, what),) = found(app, outbox)
    assert "outbox-parked" == fault
    assert what.startswith("1 messages of")


def test_an_outbox_that_can_not_be_used(app, tmp_path):
    """Its tables aren't there: it says how they are made."""
    sqlite3.connect(tmp_path / "other.db").close()
    (one,) = look_at_outbox(app, f"sqlite:///{tmp_path / 'other.db'}")
    assert ("outbox-unusable", Where.OUTBOX) == (one.fault.id, one.where)
    assert "cloudq outbox schema" in one.command


def keyed(app: App) -> None:
    app.task("welcome", idempotency_key="{n}")(lambda n: None)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "none", None])
def test_a_store_that_no_task_needs_is_not_looked_at(tmp_path, url):
    """Whatever its URL says."""
    app = App(f"sqlite:///{tmp_path / 'queue.db'}", store=url)
    assert [] == list(look_at_store(app))


def test_a_store_that_can_not_be_opened(tmp_path):
    """Without its password in what is said."""
    app = App(f"sqlite:///{tmp_path / 'queue.db'}", store=f"redis://:{PASSWORD}@127.0.0.1:1/0?timeout=1")
    keyed(app)
    (one,) = look_at_store(app)
    assert ("store-unusable", Where.STORE) == (one.fault.id, one.where)
    assert one.command
    assert PASSWORD not in one.what + one.command
    app.close()


def test_the_store_beside_a_database_is_not_made_by_looking(app, tmp_path):
    """Its tables come with its first use."""
    keyed(app)
    assert [] == list(look_at_store(app))
    assert [] == list(tmp_path.iterdir())
