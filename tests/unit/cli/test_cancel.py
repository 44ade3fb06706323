"""`cloudq cancel`."""

from __future__ import annotations

import json

import pytest

from cloudq import App


@pytest.fixture
def receipt(shop):
    """That of a message that waits."""
    app = App(shop.url)
    sent = app.send("shop.welcome", {"user_id": 42})
    app.close()
    return sent.receipt


def waiting(shop):
    app = App(shop.url)
    ready = app.queue("default").stats().ready
    app.close()
    return ready


def test_cancel(cli, shop, receipt):
    """Another process deletes the message, and says so."""
    assert (0, "cancelled a message of queue 'default'\n", "") == cli("cancel", receipt)
    assert 0 == waiting(shop)


def test_what_is_noted_is_noted_as_cancelled(cli, shop):
    """So that `cloudq result` doesn't say for ever that it waits."""
    sent = json.loads(cli("send", "shop.welcome", '{"user_id": 42}', "--track", "--json").out)
    assert 0 == cli("cancel", sent["receipt"]).code
    assert "cancelled" == json.loads(cli("result", sent["id"], "--json").out)["status"]


def test_the_store_is_the_one_that_was_named(cli, shop, tmp_path):
    """Also where a message is taken out of its queue."""
    named = f"sqlite:///{tmp_path}/named.db"
    app = App(shop.url, store=named)
    sent = app.send("shop.welcome", {"user_id": 42}, track=True)
    app.close()
    assert 0 == cli("cancel", sent.receipt, "--store", named).code
    assert "cancelled" == json.loads(cli("result", sent.id, "--json", "--store", named).out)["status"]


def test_too_late(cli, receipt):
    """What is gone is exit code 1, and said on stderr."""
    cli("cancel", receipt)
    result = cli("cancel", receipt)
    assert (1, "") == (result.code, result.out)
    assert "too late" in result.err


def test_a_database_that_is_new(cli, receipt, tmp_path):
    """A mistyped path isn't taken for a message that has run."""
    result = cli("cancel", receipt, "--backend", f"sqlite:///{tmp_path}/other.db")
    assert 1 == result.code
    assert "too late" in result.err
    assert not (tmp_path / "other.db").exists()
    assert "other.db doesn't exist: nothing was stored there yet" in result.err


def test_json(cli, receipt):
    """A program gets both answers as data."""
    for cancelled in (True, False):
        result = cli("cancel", receipt, "--json")
        assert {"queue": "default", "cancelled": cancelled} == json.loads(result.out)
        assert result.code == (not cancelled)


@pytest.mark.parametrize("text", ["", "cq1.", "cq1.!", "cq2.WyJxIiwiaCJd", "cq1.e30"])
def test_what_is_no_receipt_is_refused(cli, text):
    """Exit code 2, and nothing is opened."""
    result = cli("cancel", text)
    assert 2 == result.code
    assert "no receipt" in result.err
