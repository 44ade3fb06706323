"""From the URL of a user's database to the outbox in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.errors import ConfigurationError
from cloudq.outbox import schema
from cloudq.outbox.file import FileOutbox
from cloudq.outbox.reading import Outbox, OutboxReader
from cloudq.user_database import Dialect
from cloudq.user_database.addresses import engine_of, file_of

LEASE: Final = timedelta(seconds=60)
"""For how long a batch is a relay's, unless it says otherwise."""

NO_NAMESPACE: Final = (
    f"an outbox's namespace is a text of at most {schema.LONGEST_NAMESPACE} characters without spaces at its ends"
)


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
    path = file_of(url, "outbox")
    if path is not None:
        return FileOutbox(path, namespace, lease)
    engine = engine_of(url, "outbox")
    from cloudq.outbox.server import ServerOutbox  # needs SQLAlchemy, which is there by now

    return ServerOutbox(engine, lease)
