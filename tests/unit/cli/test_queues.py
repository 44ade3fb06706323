"""`cloudq stats` and `cloudq purge`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from cloudq import App
from cloudq.errors import PermissionDenied
from cloudq.queues.cloud_queue import CloudQueue


@pytest.fixture
def filled(cli, shop, bury, make_body):
    """Two ready messages, one delayed and one dead letter in emails; nothing in default."""
    bury("emails", [make_body()])
    for options in ((), (), ("--delay", "1h")):
        cli("send", "t", "--unchecked", "--queue", "emails", "--backend", shop.url, *options)
    return shop


def ready(folder):
    app = App(folder.url)
    stats = app.queue("emails").stats()
    app.close()
    return stats.ready + stats.delayed


def test_stats_of_the_declared_queues(cli, filled):
    """A line for every queue that the tasks declare."""
    result = cli("stats", "--app", "shop")
    assert (0, "") == (result.code, result.err)
    lines = [line.split() for line in result.out.splitlines()]
    assert ["queue", "ready", "delayed", "in", "flight", "dead", "oldest"] == lines[0]
    assert ["emails", "2", "1", "0", "1", "0:00:00"] == lines[1]
    assert ["default", "0", "0", "0", "0", "-"] == lines[2]


def test_stats_json(cli, filled):
    """A program gets an object a queue, durations in seconds."""
    result = cli("stats", "--queue", "emails", "--queue", "default", "--json")
    emails, default = map(json.loads, result.out.splitlines())
    assert 0 <= emails.pop("oldest_age_seconds") < 60
    assert {"queue": "emails", "ready": 2, "delayed": 1, "in_flight": 0, "dead": 1} == emails
    assert default["oldest_age_seconds"] is None


def test_stats_of_the_outbox(cli, filled, monkeypatch, tmp_path):
    """Where CLOUDQ_OUTBOX_URL names an outbox, how much waits there, and the age of the oldest."""
    from cloudq.outbox.opening import create_tables

    file = tmp_path / "outbox.db"
    sqlite3.connect(file).close()
    create_tables(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "insert into cloudq_outbox (namespace, queue, task, body, key_digest, number, created_at)"
            " values ('', 'q', 't', '', '', 0, cast((julianday('now') - 2440587.5) * 86400000000 as integer))"
        )
    monkeypatch.setenv("CLOUDQ_OUTBOX_URL", f"sqlite:///{file}")
    lines = cli("stats", "--queue", "emails").out.splitlines()
    assert ["outbox", "waiting", "parked", "oldest"] == lines[2].split()
    assert ["1", "0", "0:00:00"] == lines[3].split()
    said = json.loads(cli("stats", "--queue", "emails", "--json").out.splitlines()[1])
    assert (f"sqlite:///{file}", 1, 0) == (said["outbox"], said["waiting"], said["parked"])


def test_stats_without_an_app(cli):
    """Without an app and a queue the default queue is shown, and stderr says so."""
    result = cli("stats")
    assert 0 == result.code
    assert "default" in result.out
    assert "the queue 'default' is meant" in result.err


def test_undeclared_queue_suggests_the_nearest(cli, shop):
    """A queue that no task declares is shown all the same, with the name that may have been meant."""
    result = cli("stats", "--queue", "emial", "--queue", "emails", "--app", "shop")
    assert 0 == result.code
    assert "did you mean 'emails'?" in result.err
    assert 1 == result.err.count("note: no task")


@pytest.mark.parametrize("command", ["stats --queue", "purge"])
def test_name_that_is_none_is_2(cli, command):
    """A dead-letter queue's name and what can't be a queue's name end with 2."""
    assert 2 == cli(*command.split(), "emails-dlq").code
    assert 2 == cli(*command.split(), "e mails").code


def test_purge_asks(cli, filled, person):
    """A person is asked, with the number, the queue and the backend; yes deletes what isn't dead."""
    person("y\n")
    result = cli("purge", "emails", "--backend", filled.url)
    assert (0, "deleted 3 messages of queue 'emails'\n") == result[:2]
    assert f"Delete 3 messages of queue 'emails' in {filled.url} for good? [y/N] " == result.err
    assert 0 == ready(filled)
    app = App(filled.url)
    assert 1 == app.queue("emails").stats().dead
    app.close()


def test_purge_needs_no_right_to_count(cli, filled, person, monkeypatch):
    """With --yes nothing is counted; a person is asked without the number where it may not be known."""

    def refuse(self):
        raise PermissionDenied("may not count")

    with monkeypatch.context() as denied:
        denied.setattr(CloudQueue, "stats", refuse)
        person("n\n")
        assert "Delete an unknown number of messages" in cli("purge", "emails", "--backend", filled.url).err
        done = cli("purge", "emails", "--backend", filled.url, "--yes")
    assert (0, "deleted 3 messages of queue 'emails'\n", "") == done


def test_purge_answered_no(cli, filled, person):
    """No deletes nothing and ends with 1."""
    person("n\n")
    result = cli("purge", "emails", "--backend", filled.url)
    assert (1, "") == (result.code, result.out)
    assert "nothing was deleted" in result.err
    assert 3 == ready(filled)


def test_purge_off_a_terminal_needs_yes(cli, filled):
    """Where nobody can be asked it ends with 2 and deletes nothing; --yes does it."""
    refused = cli("purge", "emails", "--backend", filled.url)
    assert (2, "") == (refused.code, refused.out)
    assert "hint: add --yes" in refused.err
    assert 3 == ready(filled)
    done = cli("purge", "emails", "--backend", filled.url, "--yes", "--json")
    assert ({"queue": "emails", "deleted": 3}, "") == (json.loads(done.out), done.err)
    assert 0 == ready(filled)
