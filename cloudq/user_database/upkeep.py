"""What is done to the inbox beside the tasks: making its table, removing what is old, forgetting a key."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from cloudq.errors import OptionError, TransactionRefused
from cloudq.user_database import inbox
from cloudq.user_database.by_url import connected
from cloudq.user_database.database import UserDatabase
from cloudq.user_database.faults import is_missing_table
from cloudq.user_database.opening import opened
from cloudq.user_database.statements import Move, Script, run
from cloudq.user_database.tables import creating

MOST_AT_ONCE: Final = 10_000
"""The most rows that one sweep removes: a transaction of the user's own database stays short."""


def create_inbox(connection: object = None, /, *, using: str | None = None) -> None:
    """Makes the table `cloudq_inbox` where it is missing, and commits that.

    What it runs is what `cloudq inbox schema` prints, for those whose migrations have a tool of their own.

    Args:
        connection: A sync connection as for `Context.transaction`, without an open transaction.
        using: The alias of one of Django's databases, in its place.

    Raises:
        TransactionRefused: No transaction is possible on it.
        Exception: What the database's driver raises.
    """
    database = opened(connection, using=using)
    _commit(database, creating([inbox.TABLE], database.dialect))


def sweep_inbox(connection: object = None, /, *, using: str | None = None, limit: int = 1_000) -> int:
    """Removes rows of `cloudq_inbox` that were kept for 62 days, and commits that. For a job that runs now and then.

    Args:
        connection: A sync connection as for `Context.transaction`, without an open transaction.
        using: The alias of one of Django's databases, in its place.
        limit: The most rows that are removed, 1 to 10,000.

    Returns:
        How many were removed; fewer than `limit`: none is left.

    Raises:
        OptionError: The limit is out of its bounds.
        TransactionRefused: No transaction is possible on it, or the table isn't there.
        Exception: What the database's driver raises.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_AT_ONCE:
        raise OptionError(f"limit is {limit!r}, not a number from 1 to {MOST_AT_ONCE:,}")
    database = opened(connection, using=using)
    return _commit(database, inbox.sweeping(limit, database.dialect))


def sweep_at(url: str, limit: int) -> int:
    """As `sweep_inbox` in the database of that URL, for workers; 0 where the table isn't there.

    Raises:
        ConfigurationError: The URL can't be used.
        Exception: What the database's driver raises.
    """
    with connected(url) as database:
        try:
            return sweep_inbox(database.given, limit=limit)
        except TransactionRefused as error:
            if is_missing_table(error):
                return 0  # nobody uses it there
            raise


def forget(connection: object, task: str, key: str, *, namespace: str | None = None) -> int:
    """Removes the rows of a key, so that its work can be done again. Returns how many there were.

    Args:
        connection: As for `create_inbox`.
        task: The task's name, or one that it had.
        key: The idempotency key.
        namespace: Whose; `None` for all.
    """
    database = opened(connection)
    return _commit(database, inbox.forgetting(task, key, namespace, database.dialect))


def _commit(database: UserDatabase, script: Script[int] | Script[None]) -> int:
    """Carries the script out in a transaction of its own."""
    try:
        return run(database, _committed(script))
    except TransactionRefused:
        raise  # what is open is somebody else's
    except BaseException as error:  # a time limit's, too, which may come between two steps
        with suppress(Exception):  # the connection is gone, and the server undoes it
            database.do(Move.ROLLBACK)
        if is_missing_table(error):
            raise TransactionRefused(
                f"the table {inbox.NAME} isn't in this database", hint="cloudq.create_inbox(connection) makes it"
            ) from error
        raise


def _committed(script: Script[int] | Script[None]) -> Script[int]:
    yield Move.BEGIN
    result = yield from script
    yield Move.COMMIT
    return result or 0
