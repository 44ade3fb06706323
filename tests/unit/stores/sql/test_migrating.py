"""The migration of a database server's tables by a URL, without a server."""

from __future__ import annotations

import socket

import pytest

from cloudq.errors import ConfigurationError, StoreUnavailable
from cloudq.stores.opening import Migrated, migrate_store, migration_sql


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("postgresql://h/d", "bytea"),
        ("postgresql+psycopg2://h/d", "bytea"),
        ("mysql://h/d", "longblob"),
        ("mariadb://h/d", "longblob"),
    ],
)
def test_the_sql_is_shown_in_the_servers_words(url: str, word: str) -> None:
    """Nothing is connected to."""
    shown = migration_sql(url)
    assert word in shown
    assert "cloudq_claims" in shown


@pytest.mark.parametrize("url", ["memory://", "redis://host/0", "dynamodb://cloudq"])
def test_a_store_without_such_tables_has_nothing_to_do(url: str) -> None:
    """Its keys need no version, or Terraform makes its table."""
    assert migration_sql(url) == ""
    assert migrate_store(url) == Migrated(0, 0)


def test_a_server_that_isn_t_there() -> None:
    """Said soon, and without the password."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for scheme in ("postgresql", "mysql"):
        with pytest.raises(StoreUnavailable) as raised:
            migrate_store(f"{scheme}://app:hunter2@127.0.0.1:{port}/d")
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("call", [migrate_store, migration_sql])
def test_a_url_that_names_no_database_is_refused(call) -> None:
    """As opening refuses it."""
    with pytest.raises(ConfigurationError):
        call("postgresql://host")
