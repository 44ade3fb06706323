"""From a URL to an open store. A store's module, and the package that it needs, is imported here, at its first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib import import_module
from typing import Final, NamedTuple, TypeAlias

from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.store import Store
from cloudq.core.store_url import StoreUrl, parse_store_url
from cloudq.errors import ConfigurationError, nearest

Opener: TypeAlias = "Callable[[StoreUrl, str, timedelta, Clock], Store]"
"""Opens the store that a URL names: with the namespace, a call's time limit, and the clock."""


class _Kind(NamedTuple):
    """Where the store of a scheme is, the extra that brings what it needs, and what migrates its tables."""

    module: str
    extra: str | None = None
    migrating: str | None = None


class Migrated(NamedTuple):
    """What `migrate_store` did.

    Attributes:
        before: The tables' version before; 0 if there were none.
        now: Their version now; 0 if this store has no tables that change.
    """

    before: int
    now: int


_MEMORY: Final = _Kind("cloudq.stores.memory.url")
_SQL: Final = _Kind("cloudq.stores.sql.url", "sql", "cloudq.stores.sql.migrating")
_REDIS: Final = _Kind("cloudq.stores.redis.url", "redis")
_KINDS: Final[Mapping[str, _Kind]] = {
    "memory": _MEMORY,
    "sqlite": _Kind("cloudq.stores.sqlite.url", None, "cloudq.stores.sqlite.migrating"),
    "dynamodb": _Kind("cloudq.stores.dynamodb.url", "sqs"),
    "postgresql": _SQL,
    "mysql": _SQL,
    "mariadb": _SQL,
    "redis": _REDIS,
    "rediss": _REDIS,
}
# Databases' drivers, which `cloudq[sql]` leaves to the user's choice, and what they are installed by.
_DRIVERS: Final[Mapping[str, str]] = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "pymysql": "PyMySQL",
    "MySQLdb": "mysqlclient",
}
# What people write for one of them, as other programs call it.
_ALSO: Final[Mapping[str, str]] = {"postgres": "postgresql", "valkey": "redis", "valkeys": "rediss"}


def open_store(url: str, *, namespace: str, clock: Clock = SYSTEM_CLOCK, timeout: timedelta = CALL_TIMEOUT) -> Store:
    """The store that a URL names, opened, and looked at: whether it can be reached, written to, and is of this version.

    Args:
        url: `memory://`, `sqlite:///PATH`, `dynamodb://TABLE`, `postgresql://…`, `mysql://…`, `mariadb://…`,
            `redis://…`, `rediss://…`. A password in it is shown in no text.
        namespace: Keeps the keys of apps and environments apart that share the store, where the URL has no `?prefix=`.
        clock: Where the time comes from, for those whose server has none.
        timeout: How long a call may take, where the URL has no `?timeout=`.

    Raises:
        ConfigurationError: The URL can't be used, or its package isn't installed.
        SchemaMismatch: Its tables are missing, or of another version.
        StoreRefused: It can't be used as it is: its permissions, a server that can only be read.
        StoreUnavailable: It can't be reached.
    """
    parsed = parse_store_url(url)
    try:
        return _opener(parsed)(parsed, parsed.namespace(namespace), parsed.timeout(timeout), clock)
    except ModuleNotFoundError as error:
        raise _missing(parsed, error) from error


def migrate_store(url: str, *, clock: Clock = SYSTEM_CLOCK, timeout: timedelta = CALL_TIMEOUT) -> Migrated:
    """Brings the tables of the store that a URL names to the version that this cloudq needs, and makes them if need be.

    Raises:
        ConfigurationError: The URL can't be used, or its package isn't installed.
        SchemaMismatch: The tables are of a newer version than this cloudq knows.
        StoreRefused: It can't be done, for a lack of rights say.
        StoreUnavailable: It can't be reached.
    """
    parsed = parse_store_url(url)
    module = _kind(parsed).migrating
    if module is None:
        return Migrated(0, 0)
    try:
        return Migrated(*import_module(module).migrate_url(parsed, parsed.timeout(timeout), clock))
    except ModuleNotFoundError as error:
        raise _missing(parsed, error) from error


def migration_sql(url: str) -> str:
    """What `migrate_store` does to a store without tables, as SQL; empty where it does nothing. Connects to nothing.

    Raises:
        ConfigurationError: The URL can't be used, or its package isn't installed.
    """
    parsed = parse_store_url(url)
    module = _kind(parsed).migrating
    if module is None:
        return ""
    try:
        sql: str = import_module(module).sql_of(parsed)
    except ModuleNotFoundError as error:
        raise _missing(parsed, error) from error
    return sql


def _opener(url: StoreUrl) -> Opener:
    """What opens stores of this scheme."""
    opener: Opener = import_module(_kind(url).module).open_url
    return opener


def _kind(url: StoreUrl) -> _Kind:
    # A driver of SQLAlchemy's may follow, as in `postgresql+psycopg`.
    scheme = url.scheme.partition("+")[0]
    kind = _KINDS.get(scheme)
    if kind is None:
        other = _ALSO.get(scheme)
        raise ConfigurationError(
            f"there is no store {scheme!r}", hint=f"{other}://…" if other else nearest(scheme, _KINDS)
        )
    return kind


def _missing(url: StoreUrl, error: ModuleNotFoundError) -> ConfigurationError:
    extra = _kind(url).extra
    package = _DRIVERS.get(error.name or "", extra and f"cloudq[{extra}]")
    return ConfigurationError(
        f"the {url.scheme}:// store needs the module {error.name!r}, which isn't installed",
        hint=f"pip install '{package}'" if package else None,
    )
