"""The migration of a store's file by its URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudq.errors import ConfigurationError
from cloudq.stores.opening import Migrated, migrate_store, migration_sql
from cloudq.stores.sqlite import schema


def test_a_file_is_made_then_left_as_it_is(path: Path) -> None:
    """And each time the versions are said."""
    newest = len(schema.MIGRATIONS)
    assert migrate_store(f"sqlite:///{path}") == Migrated(0, newest)
    assert migrate_store(f"sqlite:///{path}") == Migrated(newest, newest)


def test_the_sql_is_shown_and_nothing_is_made(path: Path) -> None:
    """All of it."""
    assert "CREATE TABLE store_claim" in migration_sql(f"sqlite:///{path}")
    assert not path.exists()


@pytest.mark.parametrize("call", [migrate_store, migration_sql])
def test_a_url_that_names_no_file_is_refused(call) -> None:
    """As opening refuses it."""
    with pytest.raises(ConfigurationError):
        call("sqlite://host")
