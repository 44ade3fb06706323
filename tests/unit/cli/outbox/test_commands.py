"""`cloudq outbox status`, `retry`, `skip` and `schema`."""

from __future__ import annotations

import json
import sqlite3

import pytest


def test_status(cli, shelf, parked):
    """How many wait, and for each that is parked why, and how many wait behind it."""
    result = cli("outbox", "status", "--outbox", shelf.url)
    lines = [line.split() for line in result.out.splitlines()]
    assert (0, "") == (result.code, result.err)
    assert ["namespace", "waiting", "failing", "parked", "held", "back", "oldest"] == lines[0]
    assert ["-", "1", "0", "1", "1"] == lines[1][:5]
    assert [str(parked), "q.fifo", "shop.welcome", "a", "1", "1"] == lines[3][:6]
    assert "MessageTooLarge" in result.out


def test_status_json(cli, shelf, parked):
    """A program gets an object for the outbox, and one for each message that is parked."""
    result = cli("outbox", "status", "--outbox", shelf.url, "--json")
    full, one = map(json.loads, result.out.splitlines())
    counts = {"waiting": 1, "failing": 0, "parked": 1, "held_back": 1}
    assert {"namespace": "", **counts, "oldest_age_seconds": None} == full
    assert (parked, "q.fifo", "a") == (one["id"], one["queue"], one["ordering_key"])
    assert (1, 1) == (one["attempts"], one["behind"])
    assert one["why"].startswith("MessageTooLarge: ")


def test_status_of_the_environment(cli, shelf, monkeypatch):
    """CLOUDQ_OUTBOX_URL stands for --outbox."""
    shelf.store(1)
    monkeypatch.setenv("CLOUDQ_OUTBOX_URL", shelf.url)
    full = json.loads(cli("outbox", "status", "--json").out)
    assert 1 == full["waiting"]
    assert 0 <= full["oldest_age_seconds"] < 60


@pytest.mark.parametrize("command", ["status", "relay", "retry --all", "skip 1 --yes"])
def test_no_outbox(cli, shelf, command):
    """Without a URL each says how to name one."""
    result = cli("outbox", *command.split())
    assert 2 == result.code
    assert "no outbox is named" in result.err
    assert "CLOUDQ_OUTBOX_URL" in result.err


def test_no_tables(cli, folder):
    """A database without the tables is refused, with how to make them."""
    sqlite3.connect(folder.path / "other.db").close()
    result = cli("outbox", "status", "--outbox", f"sqlite:///{folder.path / 'other.db'}")
    assert 3 == result.code
    assert "cloudq outbox schema" in result.err


def test_retry(cli, shelf, parked, folder, monkeypatch):
    """Once the cause is mended what was parked is published, and then what waits behind it."""
    monkeypatch.setenv("CLOUDQ_CLAIM_CHECK", f"file://{folder.path / 'payloads'}")
    assert "retried 1 parked message" in cli("outbox", "retry", str(parked), "--outbox", shelf.url).out
    assert 0 == cli("outbox", "relay", "--once", "--outbox", shelf.url).code
    assert 2 == shelf.published("q.fifo")


def test_retry_all(cli, shelf, parked):
    """All that are parked; a program gets how many."""
    assert {"retried": 1} == json.loads(cli("outbox", "retry", "--all", "--json", "--outbox", shelf.url).out)
    assert {"retried": 0} == json.loads(cli("outbox", "retry", "--all", "--json", "--outbox", shelf.url).out)


def test_retry_what_is_not_parked(cli, shelf, parked):
    """1 where one of those named isn't parked."""
    result = cli("outbox", "retry", str(parked), "999", "--outbox", shelf.url)
    assert (1, "retried 1 parked message\n") == (result.code, result.out)
    assert "not parked, or not there: 1 of them" in result.err


@pytest.mark.parametrize("words", [[], ["17", "--all"]], ids=["none", "both"])
def test_retry_which(cli, shelf, words):
    """Either ids, or all."""
    result = cli("outbox", "retry", *words, "--outbox", shelf.url)
    assert 2 == result.code
    assert "--all" in result.err


def test_skip(cli, shelf, parked):
    """A parked message is deleted, and what waits behind it is published."""
    result = cli("outbox", "skip", str(parked), "--yes", "--outbox", shelf.url)
    assert (0, "skipped 1 parked message\n") == (result.code, result.out)
    assert 0 == cli("outbox", "relay", "--once", "--outbox", shelf.url).code
    assert 1 == shelf.published("q.fifo")


def test_skip_asks(cli, shelf, parked, person):
    """It asks first, and needs --yes where nobody can be asked."""
    assert 2 == cli("outbox", "skip", str(parked), "--outbox", shelf.url).code
    person("n\n")
    assert 1 == cli("outbox", "skip", str(parked), "--outbox", shelf.url).code
    assert 1 == json.loads(cli("outbox", "status", "--json", "--outbox", shelf.url).out.splitlines()[0])["parked"]


def test_skip_which(cli, shelf):
    """Nothing is skipped that isn't named."""
    assert 2 == cli("outbox", "skip", "--yes", "--outbox", shelf.url).code


def test_skip_what_waits(cli, shelf):
    """Only what is parked can be skipped."""
    waiting = shelf.store(1)
    assert 1 == cli("outbox", "skip", str(waiting), "--yes", "--outbox", shelf.url).code
    assert 1 == json.loads(cli("outbox", "status", "--json", "--outbox", shelf.url).out)["waiting"]


@pytest.mark.parametrize("dialect", ["postgresql", "mysql", "sqlite"])
def test_schema(cli, dialect):
    """The SQL on stdout, for a migration."""
    result = cli("outbox", "schema", "--dialect", dialect)
    assert (0, "") == (result.code, result.err)
    assert "create table if not exists cloudq_outbox (" in result.out
    assert "pg_notify" not in result.out


def test_schema_that_notifies(cli):
    """With a trigger, on PostgreSQL alone."""
    assert "pg_notify" in cli("outbox", "schema", "--notify").out
    refused = cli("outbox", "schema", "--dialect", "mysql", "--notify")
    assert 2 == refused.code
    assert "the relay polls" in refused.err


def test_schema_of_nothing(cli):
    """A dialect that there isn't is refused with the nearest."""
    result = cli("outbox", "schema", "--dialect", "postgres")
    assert 2 == result.code
    assert "did you mean 'postgresql'?" in result.err


def test_what_an_app_prints_while_it_is_imported_is_no_data(cli, shelf, folder):
    """A program reads the command's lines only."""
    (folder.path / "noisy_outbox_app.py").write_text(
        "import cloudq\nprint('hello')\napp = cloudq.App('memory://')\n@app.task\ndef told(): ...\n"
    )
    result = cli("outbox", "status", "--app", "noisy_outbox_app", "--json", "--outbox", shelf.url)
    assert 0 == result.code
    assert [0] == [json.loads(line)["waiting"] for line in result.out.splitlines()]
    assert "hello" in result.err


def test_an_app_that_exits_while_it_is_imported_is_an_error(cli, shelf, parked, folder):
    """Nothing was done, so it doesn't end with 0."""
    (folder.path / "exiting_outbox_app.py").write_text("raise SystemExit(0)\n")
    result = cli("outbox", "retry", "--all", "--app", "exiting_outbox_app", "--outbox", shelf.url)
    assert 2 == result.code
    assert "exiting_outbox_app" in result.err
    assert {"retried": 1} == json.loads(cli("outbox", "retry", "--all", "--json", "--outbox", shelf.url).out)
