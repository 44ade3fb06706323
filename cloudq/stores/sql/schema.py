"""The tables' version on a database server: looked at when a store is opened, brought up to date by an operator.

A server is shared, and its changes are a team's business: nothing is made there unless somebody asks for it. The
migrations are files of SQL, so that they can be read, and run by other tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Final

from sqlalchemy import Connection, Engine, inspect

from cloudq.errors import SchemaMismatch, StoreRefused

VERSIONS: Final = "cloudq_store_schema"
# By which two that migrate at once wait for one another: PostgreSQL takes a number, MySQL a name.
_LOCK: Final = 0x636C6471
_LOCK_WAIT: Final = 3600
_COMMAND: Final = "cloudq store migrate, or run what cloudq store migrate --print shows"
_FOLDERS: Final = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


def check(connection: Connection) -> None:
    """Refuses a database whose tables are missing, or of another version than this one's.

    Raises:
        SchemaMismatch: They are. The hint has the command that helps.
    """
    known = len(migrations_of(connection.dialect.name))
    version = _version_in(connection)
    if version == known:
        return
    name = connection.engine.url.database
    if not version:
        raise SchemaMismatch(f"the database {name!r} has no tables for a store", hint=f"make them: {_COMMAND}")
    if version < known:
        raise SchemaMismatch(
            f"the store's tables in {name!r} have version {version}, and this cloudq needs {known}",
            hint=f"bring them up to date: {_COMMAND}",
        )
    raise SchemaMismatch(
        f"the store's tables in {name!r} have version {version}; this cloudq knows versions up to {known}",
        hint="upgrade cloudq here",
    )


def migrate(engine: Engine) -> tuple[int, int]:
    """Brings the tables to the newest version, and makes them if need be.

    Returns:
        The version before, 0 for none, and after.

    Raises:
        SchemaMismatch: The tables are of a newer version than this cloudq knows.
        SQLAlchemyError: The database doesn't do it.
    """
    migrations = migrations_of(engine.dialect.name)
    with _alone(engine) as connection:
        before = _version_in(connection)
        if before > len(migrations):
            raise SchemaMismatch(
                f"the store's tables have version {before}; this cloudq knows versions up to {len(migrations)}",
                hint="upgrade cloudq here",
            )
        for migration in migrations[before:]:
            for statement in statements_in(migration):
                connection.exec_driver_sql(statement)
    return before, len(migrations)


@cache
def migrations_of(dialect: str) -> Sequence[str]:
    """The files of a dialect of SQLAlchemy's, in order: the n-th makes version n of version n - 1.

    Released ones never change.
    """
    folder = files("cloudq.stores.sql") / "migrations" / _FOLDERS[dialect]
    found = {file.name: file for file in folder.iterdir() if file.name.endswith(".sql")}
    return [found[name].read_text(encoding="utf-8") for name in sorted(found)]


def statements_in(migration: str) -> list[str]:
    """The statements of a file: each ends with a semicolon at the end of a line."""
    kept = "".join(f"{line}\n" for line in migration.splitlines() if not line.startswith("--"))
    return [statement.strip() for statement in kept.split(";\n") if statement.strip()]


def _version_in(connection: Connection) -> int:
    if not inspect(connection).has_table(VERSIONS):
        return 0
    version = connection.exec_driver_sql(f"select max(version) from {VERSIONS}").scalar()
    return int(version or 0)


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A connection on which nobody else migrates at the same time."""
    if engine.dialect.name == "postgresql":
        # All or nothing. Through a pooler, too: the lock is the transaction's.
        with engine.connect().execution_options(isolation_level="READ COMMITTED") as connection, connection.begin():
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({_LOCK})")
            yield connection
        return
    with engine.connect() as connection:
        # There each change of a table commits by itself, so a file that failed half-way can be run again.
        if connection.exec_driver_sql(f"select get_lock('cloudq_store_schema', {_LOCK_WAIT})").scalar() != 1:
            raise StoreRefused("somebody else has been changing the store's tables for an hour")
        try:
            yield connection
        finally:
            connection.exec_driver_sql("select release_lock('cloudq_store_schema')")
