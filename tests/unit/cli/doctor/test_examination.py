"""All looks are had, and what they find is gathered; on SQLite each fault that it can have is planted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq import App
from cloudq.cli.doctor import machine
from cloudq.cli.doctor.examination import examine, needs_by_queue
from cloudq.cli.doctor.fault import Severity
from cloudq.outbox.opening import create_tables


@pytest.fixture
def app(tmp_path: Path):
    """An app on a file of its own, with a keyed task on `mail`, and a message there."""
    app = App(f"sqlite:///{tmp_path / 'queue.db'}")
    app.task("welcome", queue="mail", idempotency_key="{n}")(lambda n: None)
    app.send("welcome", {"n": 1})
    yield app
    app.close()


def found(app: App, **settings: object) -> list[str]:
    report = examine(app, ["mail"], **{"installed": lambda _: None, **settings})
    assert [] == report.unchecked
    return [finding.fault.id for finding in report.findings]


def test_a_queue_on_sqlite_has_no_fault(app):
    """With a store in the same file."""
    assert [] == found(app)


def test_a_message_that_waits_for_longer_than_its_key_is_kept(app, tmp_path):
    """It would run a second time, should it have run."""
    app.close()
    with closing(sqlite3.connect(tmp_path / "queue.db")) as connection, connection:
        connection.execute("update message set visible_at = visible_at - ?", (29 * 86400 * 1_000_000,))
        connection.execute("update message set due_at = due_at - ?", (29 * 86400 * 1_000_000,))
    assert ["keys-forgotten"] == found(app)


def test_the_disk(app, monkeypatch):
    """Nearly full, and of the network; the error comes first."""
    monkeypatch.setattr(machine, "_free", lambda _: 1024)
    monkeypatch.setattr(machine, "_kind", lambda *_: "nfs4")
    assert ["disk-of-the-network", "disk-nearly-full"] == found(app)


def test_the_outbox_and_the_packages(app, tmp_path):
    """Of those that are named; of the store's, too."""
    file = tmp_path / "shop.db"
    sqlite3.connect(file).close()
    create_tables(f"sqlite:///{file}")
    assert [] == found(app, outbox=f"sqlite:///{file}")
    assert ["outbox-unusable"] == found(app, outbox=f"sqlite:///{tmp_path / 'queue.db'}")
    keyless = App(f"sqlite:///{tmp_path / 'queue.db'}", store="redis://127.0.0.1:1/0")
    old = {"redis": "4.0", "urllib3": "1.0"}.get
    assert ["sdk-vulnerable"] == [one.fault.id for one in examine(keyless, ["mail"], installed=old).findings]
    keyless.close()


def test_needs_are_those_of_the_tasks(app):
    """By queue: the longest lease, the time limits."""
    app.task("slow", queue="mail", lease=timedelta(hours=1), time_limit=timedelta(minutes=5))(lambda: None)
    needs = needs_by_queue(app)["mail"]
    assert timedelta(hours=1) == needs.lease
    assert {"welcome": None, "slow": timedelta(minutes=5)} == needs.limits


def test_a_report_counts(app, monkeypatch):
    """By severity."""
    monkeypatch.setattr(machine, "_kind", lambda *_: "nfs4")
    report = examine(app, ["mail"], installed=lambda _: None)
    assert (1, 0) == (report.count(Severity.ERROR), report.count(Severity.WARNING))


def test_the_store_that_keyed_tasks_need(tmp_path):
    """It can't be reached."""
    app = App(f"sqlite:///{tmp_path / 'queue.db'}", store="redis://127.0.0.1:1/0?timeout=1")
    app.task("welcome", queue="mail", idempotency_key="{n}")(lambda n: None)
    assert ["store-unusable"] == found(app)
    app.close()


def test_a_queue_that_somebody_paused(app):
    """Until it is resumed."""
    app.pause("mail")
    assert ["queue-stopped"] == found(app)
    app.resume("mail")
    assert [] == found(app)
