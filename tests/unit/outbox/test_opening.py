"""From a URL to an outbox, and what is said of one that leads nowhere."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.errors import ConfigurationError
from cloudq.outbox.opening import open_outbox


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("oracle://shop", "no outbox on"),
        ("mssql+pyodbc://shop", "no outbox on"),
        ("nonsense", "no outbox on"),
        ("postgresql+nothing://user:geheim@host/shop", "can't be used"),
    ],
)
def test_what_can_t_be_used_is_said_without_what_is_in_it(url: str, said: str) -> None:
    """With an example that can."""
    with pytest.raises(ConfigurationError, match=said) as raised:
        open_outbox(url)
    assert "sqlite:///" in str(raised.value.hint)
    assert "geheim" not in str(raised.value)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what brings it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "sqlalchemy.dialects.postgresql.psycopg", raising=False)
    with pytest.raises(ConfigurationError, match="needs the module 'psycopg'") as raised:
        open_outbox("postgresql://localhost/shop")
    assert raised.value.hint == "pip install 'cloudq[sql]'"


@pytest.mark.parametrize("namespace", ["shop ", " ", "a" * 129, "a\nb"])
def test_a_namespace_is_one(namespace: str, tmp_path: Path) -> None:
    """What a database might take for another one isn't."""
    with pytest.raises(ConfigurationError, match="namespace"):
        open_outbox(f"sqlite:///{tmp_path / 'user.db'}", namespace)


def test_a_lease_is_at_least_a_second(tmp_path: Path) -> None:
    """Servers count in seconds."""
    with pytest.raises(ConfigurationError, match="at least a second"):
        open_outbox(f"sqlite:///{tmp_path / 'user.db'}", lease=timedelta(milliseconds=900))
