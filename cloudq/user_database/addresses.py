"""From the URL of a user's database to its file, or to an engine of SQLAlchemy's for its server.

One reading for all that such a URL names: the outbox, and the inbox beside the effects.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Engine

EXAMPLES: Final = "postgresql://user:password@host/database, mysql://… or sqlite:///shop.db"

# How long connecting may take, and how long a server may say nothing.
_PATIENCE: Final = 15
# SQLAlchemy's names by what people write: the drivers that `cloudq[sql]` brings, unless the URL names another one.
_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}


def file_of(url: str, what: str) -> Path | None:
    """The file that a URL of SQLite names; `None`: it is no such URL.

    Args:
        url: `sqlite:///PATH`, or with a driver, as in `sqlite+pysqlite:///PATH`. `%20` is a space, as in all our URLs,
            unless a file is there whose name has it as it is written.
        what: What is looked for there, as messages name it.

    Raises:
        ConfigurationError: It names no file.
    """
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] != "sqlite":
        return None
    if not rest.startswith("/") or len(rest) < 2:
        raise ConfigurationError(f"sqlite:// names no file for the {what}", hint="sqlite:///shop.db")
    written = rest[1:].partition("?")[0]
    there = os.path.exists(written)  # noqa: PTH110 - Path's raises where the folder may not be looked into
    return Path(written if there else unquote(written))


def engine_of(url: str, what: str) -> Engine:
    """An engine for the server that a URL names. It has connected to nothing yet.

    Args:
        url: `postgresql://`, `mysql://`, `mariadb://`, or with a driver of SQLAlchemy's, as in
            `postgresql+psycopg2://`. A password in it is shown in no text.
        what: What is looked for there, as messages name it.

    Raises:
        ConfigurationError: It can't be used, or a package that it needs isn't installed.
    """
    scheme, _, rest = url.partition("://")
    try:
        return _made(_DRIVERS.get(scheme, scheme) + "://" + rest, what)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"an {what} on a database server needs the module {error.name!r}, which isn't installed",
            hint="pip install 'cloudq[sql]'",
        ) from error


def limits_of(driver: str) -> dict[str, Any]:
    """How long a connection may be silent, in each driver's words; nothing for one that isn't known."""
    if driver == "psycopg":
        # A statement that was prepared on one of a pooler's connections isn't there on the next one (PgBouncer).
        return {"connect_timeout": _PATIENCE, "tcp_user_timeout": _PATIENCE * 1000, "prepare_threshold": None}
    if driver == "psycopg2":
        return {"connect_timeout": _PATIENCE, "tcp_user_timeout": _PATIENCE * 1000}
    if driver in {"pymysql", "mysqldb"}:
        return {"connect_timeout": _PATIENCE, "read_timeout": _PATIENCE, "write_timeout": _PATIENCE}
    return {}


def _made(url: str, what: str) -> Engine:
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        made = make_url(url)
        if made.get_backend_name() not in {"postgresql", "mysql", "mariadb"}:
            raise ConfigurationError(f"there is no {what} on {made.get_backend_name()!r}", hint=f"e.g. {EXAMPLES}")
        return create_engine(
            made,
            pool_timeout=_PATIENCE,
            connect_args=limits_of(made.get_driver_name()),
            hide_parameters=True,  # they are what users send
        )
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        # Without its text: that may have the URL in it, and so the password.
        raise ConfigurationError(f"the {what}'s URL can't be used", hint=f"e.g. {EXAMPLES}") from error
