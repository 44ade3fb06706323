"""`open_url`: what a `postgresql://`, `mysql://` or `mariadb://` says, and the store it opens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakSet

from sqlalchemy import URL, Engine, create_engine

from cloudq.core.clock import Clock
from cloudq.core.store_url import StoreUrl
from cloudq.errors import ConfigurationError, nearest
from cloudq.stores.sql.store import SqlStore

# SQLAlchemy's name by what stands in the URL: these drivers, unless another one is named.
_DRIVERS: Final[Mapping[str, str]] = {
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgresql+psycopg2": "postgresql+psycopg2",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mysql+mysqldb": "mysql+mysqldb",
    "mariadb": "mariadb+pymysql",
    "mariadb+pymysql": "mariadb+pymysql",
    "mariadb+mysqldb": "mariadb+mysqldb",
}
# What is passed on to the driver: where the server is, and how it is recognised.
_POSTGRESQL: Final = (
    *("application_name", "channel_binding", "gssencmode", "host", "passfile", "service", "target_session_attrs"),
    *("sslmode", "sslrootcert", "sslcert", "sslkey"),
)
_MYSQL: Final = ("charset", "ssl_ca", "ssl_cert", "ssl_key", "unix_socket")


def open_url(url: StoreUrl, namespace: str, timeout: timedelta, clock: Clock) -> SqlStore:
    """The store on the server that the URL names; `clock` isn't asked, since the server has the time.

    Raises:
        ConfigurationError: The URL can't be used.
        StoreRefused: The server is a replica, or can only be read; or it refuses the URL's credentials.
        StoreUnavailable: It can't be reached.
    """
    del clock
    store = SqlStore(engine_of(url, timeout), namespace)
    try:
        store.check()
    except BaseException:
        store.close()
        raise
    return store


def engine_of(url: StoreUrl, timeout: timedelta) -> Engine:
    """SQLAlchemy's engine, which connects at its first call.

    Raises:
        ConfigurationError: The URL can't be used.
    """
    made = address_of(url)
    # A call connects, or speaks on a connection that is there; one that is cut costs it both.
    half = timeout / 2
    engine = create_engine(
        made,
        pool_timeout=half.total_seconds(),
        # Servers and what stands before them close what was idle for long.
        pool_recycle=1800,
        connect_args=_limits(made.drivername, half),
        # Each statement is all of its transaction: without these two a rollback would follow it, a round trip more.
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        # Keys may name people.
        hide_parameters=True,
    )
    if made.drivername == "postgresql+psycopg":
        from cloudq.stores.sql.bounded import bound  # it needs psycopg, which other drivers don't

        bound(engine, half)
    _made.add(engine)
    return engine


def address_of(url: StoreUrl) -> URL:
    """The URL as SQLAlchemy has it.

    Raises:
        ConfigurationError: The URL can't be used.
    """
    driver = _DRIVERS.get(url.scheme)
    if driver is None:
        raise ConfigurationError(
            f"{url.scheme}:// names a driver that the store isn't written for", hint=nearest(url.scheme, _DRIVERS)
        )
    options = url.options(*(_POSTGRESQL if driver.startswith("postgresql") else _MYSQL))
    if not url.path or "/" in url.path:
        raise ConfigurationError(f"{url.scheme}:// names no database", hint=f"{url.scheme}://HOST/DATABASE")
    if driver.startswith(("mysql", "mariadb")):
        options.setdefault("charset", "utf8mb4")
    parts = urlsplit(f"//{url.host}")
    return URL.create(
        driver,
        username=url.user,
        password=url.password,
        host=parts.hostname,
        port=parts.port,
        database=url.path,
        query=options,
    )


def _limits(driver: str, timeout: timedelta) -> dict[str, Any]:
    """How long connecting and the silence of a server may take, in each driver's words, which are whole seconds."""
    seconds = max(1, round(timeout.total_seconds()))
    if not driver.startswith("postgresql"):
        return {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}
    limits: dict[str, Any] = {"connect_timeout": seconds, "tcp_user_timeout": seconds * 1000}
    # PgBouncer gives each statement the connection that is free: a statement prepared on one isn't there on another.
    # And it refuses `options`, by which a server would be told of limits.
    return limits | {"prepare_threshold": None} if driver == "postgresql+psycopg" else limits


_made: Final[WeakSet[Engine]] = WeakSet()


def _after_fork() -> None:
    """In the child: the parent goes on with its connections, on which two would read each other's answers."""
    for engine in _made:
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_after_fork)
