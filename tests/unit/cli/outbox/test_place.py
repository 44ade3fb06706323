"""Which outbox a command works on."""

from __future__ import annotations

import pytest

from cloudq.cli.outbox.place import listen_url, outbox_url, shown_url
from cloudq.errors import ConfigurationError


def test_urls(monkeypatch):
    """What is given goes before the environment."""
    for name in ("CLOUDQ_OUTBOX_URL", "CLOUDQ_OUTBOX_LISTEN_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError):
        outbox_url(None)
    assert listen_url(None) is None
    monkeypatch.setenv("CLOUDQ_OUTBOX_URL", "sqlite:///theirs.db")
    monkeypatch.setenv("CLOUDQ_OUTBOX_LISTEN_URL", "postgresql://theirs/shop")
    assert ("sqlite:///theirs.db", "sqlite:///mine.db") == (outbox_url(None), outbox_url("sqlite:///mine.db"))
    assert ("postgresql://theirs/shop", "postgresql://mine/shop") == (
        listen_url(None),
        listen_url("postgresql://mine/shop"),
    )


def test_no_password_is_shown():
    """A URL is shown without its password."""
    assert "postgresql://me:***@db/shop" == shown_url("postgresql://me:s3cret@db/shop")
