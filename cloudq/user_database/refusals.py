"""What is said where no transaction is possible, and what to do about it."""

from __future__ import annotations

from cloudq.errors import TransactionBroken, TransactionRefused


def already_open(end: str) -> TransactionRefused:
    """Somebody else has begun one, and would end it."""
    return TransactionRefused(
        "a transaction is open on this connection already: the code that began it could undo it once the message is "
        "gone",
        hint=f"{end} before the block, and read within it; or give a connection of its own",
    )


def ended() -> TransactionBroken:
    """What is done last would be in a transaction of its own, which nobody ends."""
    return TransactionBroken(
        "the transaction ended within the block: it was committed or rolled back there",
        hint="commit, or roll back, once the block has ended",
    )


def autocommit(how: str) -> TransactionRefused:
    """Each statement would be a transaction of its own."""
    return TransactionRefused(
        "the connection commits each statement by itself (autocommit)", hint=f"give a connection {how}"
    )


def dialect(name: str) -> TransactionRefused:
    """No SQL for it."""
    return TransactionRefused(
        f"cloudq has no tables for {name!r}", hint="PostgreSQL, MariaDB, MySQL and SQLite have been thought of"
    )


def not_async() -> TransactionRefused:
    """`async with` on a sync connection."""
    return TransactionRefused("this connection is no async one", hint="with, not async with")


def not_sync() -> TransactionRefused:
    """`with` on an async connection."""
    return TransactionRefused("this connection is an async one", hint="async with, in an async task")
