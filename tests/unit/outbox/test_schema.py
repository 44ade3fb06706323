"""The tables of each database: made, made again, and their version."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from cloudq.errors import ConfigurationError, SchemaMismatch
from cloudq.outbox.opening import create_tables, open_outbox
from cloudq.outbox.schema import CHANNEL, VERSION, schema_sql, statements
from cloudq.user_database import Dialect
from tests.unit.outbox.conftest import drop_tables, publish_all, send


def test_made_again_they_stay_as_they_are(empty_url: str) -> None:
    """What was stored is there, and the version once."""
    create_tables(empty_url)
    engine = create_engine(empty_url)
    send(engine, "a")
    create_tables(empty_url)
    reader = open_outbox(empty_url)
    assert publish_all(reader) == ["a"]
    with engine.connect() as connection:
        assert connection.execute(text("select version from cloudq_outbox_schema")).scalars().all() == [VERSION]
    reader.close()
    engine.dispose()


def test_a_database_without_them_says_how_they_are_made(empty_url: str) -> None:
    """The error names the command."""
    with pytest.raises(SchemaMismatch, match="aren't in this database") as raised:
        open_outbox(empty_url)
    assert "cloudq outbox schema" in str(raised.value.hint)


def test_another_version_is_refused(url: str) -> None:
    """By a reader, and by what makes tables."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("update cloudq_outbox_schema set version = 99"))
    engine.dispose()
    with pytest.raises(SchemaMismatch, match="version 99; this release works with 1"):
        open_outbox(url)
    with pytest.raises(SchemaMismatch, match="version 99"):
        create_tables(url)


def test_the_script_is_what_is_carried_out() -> None:
    """Each statement of it, without its comments."""
    for dialect in Dialect:
        script = schema_sql(dialect)
        assert all(statement.splitlines()[0] in script for statement in statements(dialect))
        assert not any("--" in statement or statement.endswith(";") for statement in statements(dialect))
        assert script.endswith(";\n")


@pytest.mark.slow
def test_postgresql_tells_of_what_is_committed_if_it_is_asked_to(postgresql: str) -> None:
    """Once a transaction, and only of those that are committed."""
    psycopg = pytest.importorskip("psycopg")
    drop_tables(postgresql)
    create_tables(postgresql, notify=True)
    create_tables(postgresql, notify=True)
    engine = create_engine(postgresql)
    with psycopg.connect(postgresql.replace("+psycopg", ""), autocommit=True) as listener:
        listener.execute(f"listen {CHANNEL}")
        with engine.connect() as connection:
            from tests.unit.outbox.conftest import write

            write(connection, "undone")
            connection.rollback()
            write(connection, "a", "k:1")
            write(connection, "b")
            connection.commit()
        told = list(listener.notifies(timeout=60, stop_after=1))
        told += list(listener.notifies(timeout=0))
    assert [note.channel for note in told] == [CHANNEL]
    engine.dispose()
    drop_tables(postgresql)


def test_other_databases_have_no_notifications(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It is said, not ignored."""
    with pytest.raises(ValueError, match="mysql has no notifications"):
        schema_sql(Dialect.MYSQL, notify=True)
    file = tmp_path_factory.mktemp("notify") / "user.db"
    file.touch()
    with pytest.raises(ConfigurationError, match="sqlite has no notifications"):
        create_tables(f"sqlite:///{file}", notify=True)
