"""`cloudq purge`."""

from __future__ import annotations

import json

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


def test_name_that_is_none_is_2(cli):
    """A dead-letter queue's name and what can't be a queue's name end with 2."""
    assert 2 == cli("purge", "emails-dlq").code
    assert 2 == cli("purge", "e mails").code


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
