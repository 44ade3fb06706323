"""The version of a store's tables, on PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, inspect

from cloudq.core.store import Claimed, ClaimKey
from cloudq.core.store_url import parse_store_url
from cloudq.errors import SchemaMismatch, StoreRefused
from cloudq.stores.opening import Migrated, migrate_store, migration_sql, open_store
from cloudq.stores.sql import schema
from cloudq.stores.sql.url import engine_of

pytestmark = pytest.mark.slow
MINUTE = timedelta(minutes=1)
TABLES = ("cloudq_claims", "cloudq_notes", schema.VERSIONS)


@pytest.fixture(params=["postgresql", "mariadb"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """On a database without our tables."""
    engine = engine_of(parse_store_url(url), timedelta(seconds=20))
    _drop(engine)
    yield engine
    # As others find it.
    _drop(engine)
    schema.migrate(engine)
    engine.dispose()


def _drop(engine: Engine) -> None:
    with engine.connect() as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"drop table if exists {table}")


def works(url: str) -> bool:
    store = open_store(url, namespace="schema")
    said = store.claim(ClaimKey("t", "k"), owner="me", lease=MINUTE, fingerprint=None, keep=MINUTE)
    store.close()
    return isinstance(said, Claimed)


def described(engine: Engine) -> object:
    looked = inspect(engine)
    return [
        (
            table,
            [(column["name"], str(column["type"]), column["nullable"]) for column in looked.get_columns(table)],
            sorted(str(index["name"]) for index in looked.get_indexes(table)),
        )
        for table in TABLES
    ]


def test_tables_are_made_when_somebody_asks_for_it(engine: Engine, url: str) -> None:
    """Opening makes none: it says what does. A second time nothing changes."""
    with pytest.raises(SchemaMismatch, match="has no tables") as raised:
        open_store(url, namespace="schema")
    assert "cloudq store migrate" in (raised.value.hint or "")
    newest = len(schema.migrations_of(engine.dialect.name))
    assert migrate_store(url) == Migrated(0, newest)
    assert works(url)
    assert migrate_store(url) == Migrated(newest, newest)


def test_what_is_printed_makes_the_same(engine: Engine, url: str) -> None:
    """Run by another tool, with rights of its own."""
    migrate_store(url)
    made = described(engine)
    _drop(engine)
    with engine.connect() as connection:
        for statement in schema.statements_in(migration_sql(url)):
            connection.exec_driver_sql(statement)
    assert described(engine) == made
    assert works(url)


def test_an_older_version_is_refused_until_it_is_migrated(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is in the tables stays there."""
    migrate_store(url)
    assert works(url)
    older = schema.migrations_of(engine.dialect.name)
    more = (
        f"alter table cloudq_claims add column more integer;\ninsert into {schema.VERSIONS} values ({len(older) + 1});"
    )
    # Undone here: else `engine` would end, and make the tables as others find them, before this is undone.
    with monkeypatch.context() as patch:
        patch.setattr(schema, "migrations_of", lambda dialect: [*older, more])
        needs = f"version {len(older)}, and this cloudq needs {len(older) + 1}"
        with pytest.raises(SchemaMismatch, match=needs) as raised:
            open_store(url, namespace="schema")
        assert "cloudq store migrate" in (raised.value.hint or "")
        assert migrate_store(url) == Migrated(len(older), len(older) + 1)
        store = open_store(url, namespace="schema")
        assert store.show(ClaimKey("t", "k")) is not None
        store.close()


def test_a_newer_version_is_refused_by_all(engine: Engine, url: str) -> None:
    """An older cloudq may read its rows wrongly."""
    migrate_store(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("insert into cloudq_store_schema values (99)")
    for call in (lambda: open_store(url, namespace="schema"), lambda: migrate_store(url)):
        with pytest.raises(SchemaMismatch, match="version 99; this cloudq knows"):
            call()


def test_of_many_that_migrate_at_once_one_does(engine: Engine, url: str) -> None:
    """A deployment starts several: the others find it done."""
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: migrate_store(url), range(6)))
    newest = len(schema.migrations_of(engine.dialect.name))
    assert sorted(done) == [Migrated(0, newest), *[Migrated(newest, newest)] * 5]
    assert works(url)


def test_a_migration_that_fails_says_why_and_can_be_made_again(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the server's words; the version stays what it was."""
    migrate_store(url)
    older = schema.migrations_of(engine.dialect.name)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "migrations_of", lambda dialect: [*older, "create table if not exists;\n"])
        with pytest.raises(StoreRefused, match=r"can't be made or changed: .*syntax"):
            migrate_store(url)
    assert migrate_store(url) == Migrated(len(older), len(older))
    assert works(url)


def test_a_user_without_the_right_is_told_so(engine: Engine, url: str) -> None:
    """With the way out: another one runs what is printed; then this user works with it."""
    make, grant, remove = RIGHTS[engine.dialect.name]
    owner = url.replace(f"/{engine.url.database}", "/guarded", 1)
    guest = owner.replace(f"{engine.url.username}@", "guest@", 1)
    with engine.connect() as connection:
        for statement in make:
            connection.exec_driver_sql(statement)
    inside = engine_of(parse_store_url(owner), timedelta(seconds=20))
    try:
        with pytest.raises(StoreRefused, match=r"can't be made or changed: .*denied") as raised:
            migrate_store(guest)
        assert "--print" in (raised.value.hint or "")
        migrate_store(owner)
        with inside.connect() as connection:
            connection.exec_driver_sql(grant)
        assert works(guest)
    finally:
        inside.dispose()
        with engine.connect() as connection:
            for statement in remove:
                connection.exec_driver_sql(statement)


RIGHTS = {
    "postgresql": (
        ["create role guest login", "create database guarded"],
        "grant select, insert, update, delete on all tables in schema public to guest",
        ["drop database guarded with (force)", "drop role guest"],
    ),
    # A % is the place of a value for PyMySQL.
    "mysql": (
        ["create database guarded", "create user guest@'%%'", "grant select on guarded.* to guest@'%%'"],
        "grant select, insert, update, delete on guarded.* to guest@'%%'",
        ["drop database guarded", "drop user guest@'%%'"],
    ),
}
