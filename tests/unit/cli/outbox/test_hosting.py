"""A relay inside `cloudq worker`."""

from __future__ import annotations

from cloudq import App
from cloudq.cli.outbox.hosting import relaying


def test_a_worker_relays(cli, shelf, writer):
    """What is in the outbox is published while the worker works, or at its end; it says so."""
    shelf.store(1, queue="reports")
    result = cli("worker", "--app", "writer", "--burst", "--outbox", shelf.url)
    assert (0, 1) == (result.code, shelf.published("reports"))
    assert f"  outbox   {shelf.url}, relayed here" in result.err


def test_what_the_end_leaves(shelf, folder):
    """What was sent just before the worker ended is published, too."""
    with relaying(App(folder.url), shelf.url, None, as_json=True):
        shelf.store(1)
    assert 1 == shelf.published()


def test_a_database_without_tables(cli, writer):
    """The worker doesn't start without what it was asked for."""
    (writer.path / "none.db").touch()
    result = cli("worker", "--app", "writer", "--burst", "--outbox", f"sqlite:///{writer.path / 'none.db'}")
    assert 3 == result.code
    assert "cloudq outbox schema" in result.err


def test_a_database_that_is_away(cli, writer):
    """The worker starts without it; the relay waits for it."""
    result = cli("worker", "--app", "writer", "--burst", "--outbox", "postgresql://cloudq@127.0.0.1:1/none")
    assert 0 == result.code
    assert "the outbox can't be reached yet" in result.err


def test_without_the_option(cli, writer, monkeypatch, shelf):
    """The environment alone has no worker relay."""
    monkeypatch.setenv("CLOUDQ_OUTBOX_URL", shelf.url)
    shelf.store(1, queue="reports")
    assert 0 == cli("worker", "--app", "writer", "--burst").code
    assert 0 == shelf.published("reports")


def test_the_inbox_beside_it_is_swept(cli, writer, monkeypatch, shelf):
    """Of the database whose outbox the worker relays; without one it knows none."""
    added = []
    monkeypatch.setattr("cloudq.running.sweeping.add_sweep", lambda app, what, sweep: added.append((what, sweep)))
    assert 0 == cli("worker", "--app", "writer", "--burst").code
    assert [] == added
    assert 0 == cli("worker", "--app", "writer", "--burst", "--outbox", shelf.url).code
    [(what, sweep)] = added
    assert "inbox" in what
    assert 0 == sweep(10)
