"""From the URL of a user's database to the outbox in it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.errors import ConfigurationError
from cloudq.outbox import schema
from cloudq.outbox.file import FileOutbox
from cloudq.outbox.reading import Outbox, OutboxReader
from cloudq.user_database import Dialect

if TYPE_CHECKING:
    from sqlalchemy import Engine

T = TypeVar("T")

LEASE: Final = timedelta(seconds=60)
"""For how long a batch is a relay's, unless it says otherwise."""

NO_NAMESPACE: Final = (
    f"an outbox's namespace is a text of at most {schema.LONGEST_NAMESPACE} characters without spaces at its ends"
)

# How long connecting may take, and how long a server may say nothing.
_PATIENCE: Final = 15
# SQLAlchemy's names by what people write: the drivers that `cloudq[sql]` brings, unless the URL names another one.
_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
_EXAMPLES: Final = "postgresql://user:password@host/database, mysql://… or sqlite:///shop.db"


def open_outbox(
    url: str, namespace: str = "", *, lease: timedelta = LEASE, clock: Clock = SYSTEM_CLOCK
) -> OutboxReader:
    """The outbox in the database that a URL names.

    Args:
        url: `postgresql://`, `mysql://`, `mariadb://`, `sqlite:///PATH`, or with a driver of SQLAlchemy's, as in
            `postgresql+psycopg2://`. A password in it is shown in no text.
        namespace: Whose messages: that of the app that sends them.
        lease: For how long a batch is the reader's, at least a second.
        clock: Where the reader's own time comes from.

    Raises:
        ConfigurationError: The URL can't be used, or a package that it needs isn't installed.
        SchemaMismatch: The tables aren't there, or of another version.
        StoreUnavailable: The database can't be reached.
    """
    if lease < timedelta(seconds=1):
        raise ConfigurationError("an outbox's lease is at least a second", hint="60 s are usual")
    if not schema.is_namespace(namespace):
        raise ConfigurationError(NO_NAMESPACE, hint='namespace="shop"')
    outbox = _outbox(url, namespace, lease)
    try:
        outbox.look(schema.check())
    except BaseException:
        outbox.close()
        raise
    return OutboxReader(outbox, namespace, lease=lease, clock=clock)


def create_tables(url: str, *, notify: bool = False) -> None:
    """Makes what is missing of the outbox's tables; what is there stays. The user of the URL must be allowed to.

    Args:
        url: As for `open_outbox`.
        notify: See `schema_sql`.

    Raises:
        ConfigurationError: The URL can't be used, or `notify` on a database that has no notifications.
        SchemaMismatch: They are there, of another version.
        StoreUnavailable: The database can't be reached, or refuses.
    """
    outbox = _outbox(url, "", LEASE)
    try:
        if notify and outbox.dialect is not Dialect.POSTGRESQL:
            raise ConfigurationError(f"{outbox.dialect.value} has no notifications", hint="relays poll there")
        outbox.look(schema.creation(outbox.dialect, notify=notify))
        outbox.look(schema.check())
    finally:
        outbox.close()


def _outbox(url: str, namespace: str, lease: timedelta) -> Outbox:
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] == "sqlite":
        if not rest.startswith("/") or len(rest) < 2:
            raise ConfigurationError("sqlite:// names no file for the outbox", hint="sqlite:///shop.db")
        return FileOutbox(Path(rest[1:].partition("?")[0]), namespace, lease)
    try:
        from cloudq.outbox.server import ServerOutbox

        return ServerOutbox(_engine(_DRIVERS.get(scheme, scheme) + "://" + rest), lease)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"an outbox on a database server needs the module {error.name!r}, which isn't installed",
            hint="pip install 'cloudq[sql]'",
        ) from error


def _engine(url: str) -> Engine:
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        made = make_url(url)
        if made.get_backend_name() not in {"postgresql", "mysql", "mariadb"}:
            raise ConfigurationError(f"there is no outbox on {made.get_backend_name()!r}", hint=f"e.g. {_EXAMPLES}")
        return create_engine(
            made,
            pool_timeout=_PATIENCE,
            connect_args=_limits(made.get_driver_name()),
            hide_parameters=True,  # they are what users send
        )
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        # Without its text: that may have the URL in it, and so the password.
        raise ConfigurationError("the outbox's URL can't be used", hint=f"e.g. {_EXAMPLES}") from error


def _limits(driver: str) -> dict[str, Any]:
    """How long a connection may be silent, in each driver's words."""
    if driver == "psycopg":
        # A statement that was prepared on one of a pooler's connections isn't there on the next one (PgBouncer).
        return {"connect_timeout": _PATIENCE, "tcp_user_timeout": _PATIENCE * 1000, "prepare_threshold": None}
    if driver == "psycopg2":
        return {"connect_timeout": _PATIENCE, "tcp_user_timeout": _PATIENCE * 1000}
    if driver in {"pymysql", "mysqldb"}:
        return {"connect_timeout": _PATIENCE, "read_timeout": _PATIENCE, "write_timeout": _PATIENCE}
    return {}
