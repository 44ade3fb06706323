"""`create_outbox`: the outbox's tables, made on a connection of the user's."""

from __future__ import annotations

from cloudq.errors import ConfigurationError
from cloudq.outbox import schema
from cloudq.user_database import Dialect, Move, Script, opened, run


def create_outbox(connection: object = None, /, *, using: str | None = None, notify: bool = False) -> None:
    """Makes what is missing of the outbox's tables, and commits that.

    What it runs is what `cloudq outbox schema` prints, for those whose migrations have a tool of their own.

    Args:
        connection: A sync connection as for `App.outbox`, without an open transaction.
        using: The alias of one of Django's databases, in its place.
        notify: On PostgreSQL: has each commit that stores messages tell relays that listen. All such commits of the
            server then take turns.

    Raises:
        TransactionRefused: No transaction is possible on it.
        SchemaMismatch: They are there, of another version.
        ConfigurationError: `notify`, on a database that has no notifications.
        Exception: What the database's driver raises.
    """
    database = opened(connection, using=using)
    if notify and database.dialect is not Dialect.POSTGRESQL:
        raise ConfigurationError(f"{database.dialect.value} has no notifications", hint="relays poll there")
    run(database, _creation(database.dialect, notify=notify))


def _creation(dialect: Dialect, *, notify: bool) -> Script[None]:
    yield Move.BEGIN
    try:
        yield from schema.creation(dialect, notify=notify)
        yield from schema.check()
    except BaseException:
        yield Move.ROLLBACK
        raise
    yield Move.COMMIT
