"""`cloudq outbox relay`."""

from __future__ import annotations

import json

from cloudq.relay.service import Relay


def test_once(cli, shelf, folder):
    """All that waits is in its queue then; it says which outbox and backend it worked on."""
    for number in range(30):
        shelf.store(number)
    result = cli("outbox", "relay", "--once", "--batch", "7", "--outbox", shelf.url)
    assert (0, "") == (result.code, result.out)
    assert 30 == shelf.published()
    assert f"  backend  {folder.url}, from CLOUDQ_URL" in result.err
    assert f"  outbox   {shelf.url}" in result.err
    assert "outbox, in all: 30 published" in result.err


def test_once_and_a_message_is_refused(cli, shelf):
    """1 where one was parked; the others are published."""
    shelf.store(1, text="x" * 2_000_000)
    shelf.store(2)
    result = cli("outbox", "relay", "--once", "--outbox", shelf.url)
    assert (1, 1) == (result.code, shelf.published())
    assert "is parked: MessageTooLarge" in result.err


def test_large_payloads_are_claim_checked(cli, shelf, folder, monkeypatch):
    """With a store for them, what is too large for its queue is published as a reference."""
    monkeypatch.setenv("CLOUDQ_CLAIM_CHECK", f"file://{folder.path / 'payloads'}")
    shelf.store(1, text="x" * 2_000_000)
    assert 0 == cli("outbox", "relay", "--once", "--outbox", shelf.url).code
    assert 1 == shelf.published()
    assert [*(folder.path / "payloads").rglob("*")]


def test_once_without_the_database(cli, folder):
    """3 where the database can't be reached."""
    result = cli("outbox", "relay", "--once", "--outbox", "postgresql://cloudq@127.0.0.1:1/none")
    assert 3 == result.code


def test_the_banner_as_json(cli, shelf):
    """With JSON logs every line is an object, the banner too."""
    shelf.store(1)
    result = cli("outbox", "relay", "--once", "--log-format", "json", "--outbox", shelf.url)
    banner, *rest = map(json.loads, result.err.splitlines())
    assert ("cloudq.relay", "cloudq relay starts", shelf.url) == (banner["logger"], banner["message"], banner["outbox"])
    assert "outbox, in all: 1 published" in [line["message"] for line in rest]


def test_settings(cli, shelf, monkeypatch):
    """Each option is passed on. A SQLite file has one reader."""
    seen = []
    monkeypatch.setattr(Relay, "run", lambda self: seen.append(self.settings) or self._close() or 0)
    given = "--batch 9 --concurrency 5 --grace 3 --max-time 2m --health 127.0.0.1:0"
    assert 0 == cli("outbox", "relay", *given.split(), "--outbox", shelf.url).code
    (settings,) = seen
    assert (9, 1, ("127.0.0.1", 0), False) == (
        settings.batch,
        settings.concurrency,
        settings.health,
        settings.once,
    )
    assert (3, 120) == (settings.grace.total_seconds(), settings.max_time.total_seconds())


def test_a_backend_that_is_none(cli, shelf):
    """A backend that can't be opened is refused at the start, rather than tried again without end."""
    shelf.store(1)
    result = cli("outbox", "relay", "--outbox", shelf.url, "--backend", "sqlite:///no/such/folder/queue.db")
    assert 2 <= result.code <= 3
    assert "hint" in result.err


def test_listen_url_that_is_none(cli, shelf):
    """What can't notify is refused at the start."""
    result = cli("outbox", "relay", "--outbox", shelf.url, "--listen-url", "mysql://127.0.0.1/shop")
    assert 2 == result.code
    assert "only PostgreSQL notifies" in result.err


def test_no_password_is_shown(cli, folder):
    """What is said of a URL has no password."""
    result = cli("outbox", "relay", "--once", "--outbox", "postgresql://me:s3cret@127.0.0.1:1/none")
    assert "s3cret" not in result.err
