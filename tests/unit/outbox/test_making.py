"""The tables, made on the user's own connection."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from cloudq import create_outbox
from cloudq.errors import ConfigurationError, SchemaMismatch, TransactionRefused
from cloudq.outbox.opening import open_outbox
from tests.unit.outbox.conftest import publish_all, send


def test_made_and_made_again(empty_url: str) -> None:
    """By a connection or a session; what is there stays."""
    engine = create_engine(empty_url)
    with engine.connect() as connection:
        create_outbox(connection)
    send(engine, "a")
    with Session(engine) as session:
        create_outbox(session)
    reader = open_outbox(empty_url)
    assert publish_all(reader) == ["a"]
    reader.close()
    engine.dispose()


def test_another_version_is_refused(url: str) -> None:
    """And the connection is ready for what comes next."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("update cloudq_outbox_schema set version = 99"))
    with engine.connect() as connection:
        with pytest.raises(SchemaMismatch, match="version 99"):
            create_outbox(connection)
        assert not connection.in_transaction()
    engine.dispose()


def test_an_open_transaction_is_refused(tmp_path: Path) -> None:
    """MariaDB would commit it."""
    engine = create_engine(f"sqlite:///{tmp_path / 'user.db'}")
    with engine.begin() as connection, pytest.raises(TransactionRefused, match="open on this connection already"):
        create_outbox(connection)
    with engine.connect() as connection, pytest.raises(ConfigurationError, match="sqlite has no notifications"):
        create_outbox(connection, notify=True)
    engine.dispose()
