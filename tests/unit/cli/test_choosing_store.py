"""Which store a command works with."""

from __future__ import annotations

import pytest

from cloudq.cli.choosing_store import one_store, store_url
from cloudq.core.store import ClaimKey
from cloudq.errors import ConfigurationError


def test_the_given_one_goes_before_the_apps(cli, shop, tmp_path):
    """And both before nothing."""
    other = f"sqlite:///{tmp_path}/other.db"
    with store_url(None, None, None) as (_, url):
        assert shop.url == url
    with store_url(other, None, None) as (_, url):
        assert other == url


def test_a_missing_file_is_an_empty_store(cli, shop, tmp_path):
    """Which isn't made by a look."""
    with one_store(f"sqlite:///{tmp_path}/other.db?prefix=x", None, None) as chosen:
        assert chosen.store.show(ClaimKey("t", "k")) is None
        assert chosen.store.sweep(1) == 0
        assert ("x", f"sqlite:///{tmp_path}/other.db") == (chosen.namespace, chosen.where)
    assert not (tmp_path / "other.db").exists()


def test_the_backends_prefix_is_the_keys(cli, shop, tmp_path, monkeypatch):
    """Where the store's URL has none."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with one_store(f"sqlite:///{tmp_path}/other.db", None, "sqs://eu-west-1?prefix=prod-") as chosen:
        assert "prod-" == chosen.namespace


def test_no_store_is_an_error_that_says_how_to_name_one(cli, shop):
    """A backend without one beside it."""
    with pytest.raises(ConfigurationError, match="no store") as raised, one_store(None, None, "sqs://eu-west-1"):
        pass
    assert "CLOUDQ_STORE_URL" in (raised.value.hint or "")
