"""What each database says in its own words: its time, and the claim, which has to be taken in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection, Row, TextClause, text
from sqlalchemy.exc import DBAPIError

TABLE: Final = "cloudq_claims"
NOTES: Final = "cloudq_notes"

LOCK_WAIT: Final = 1
"""For how many seconds a statement waits for a row that somebody else's transaction holds. Ours hold none for longer
than a statement takes, so it is an operator's, say."""


@lru_cache(maxsize=128)
def sql(words: str) -> TextClause:
    """SQLAlchemy's form of a statement. There are few, and each is looked through for its parameters once."""
    return text(words)


class Found(NamedTuple):
    """A row, and the server's time at which it was read, in microseconds since 1970."""

    now: int
    token: int
    owner: str
    until: int | None
    completed: int | None
    kept_until: int
    fingerprint: bytes | None
    result: bytes | None


COLUMNS: Final = "token, owner, held_until, completed_at, kept_until, fingerprint, result"


def found(row: Row[Any]) -> Found:
    """A row as it was read, whatever the database's own type of bytes."""
    now, token, owner, until, completed, kept_until, fingerprint, result = tuple(row)
    return Found(
        int(now),
        int(token),
        str(owner),
        until,
        completed,
        int(kept_until),
        None if fingerprint is None else bytes(fingerprint),
        None if result is None else bytes(result),
    )


class Fault(Enum):
    """What a database's error means for a store."""

    AGAIN = "again"
    """Two statements got into each other's way: this one was undone, and is made again at once."""
    LOCKED = "locked"
    """Somebody else's transaction holds the row, for longer than is waited."""
    REFUSED = "refused"
    """It is so until somebody changes the database: rights, a missing table, a full disk, a server that only reads."""
    FAILED = "failed"
    """It may be over soon."""


class Dialect(Protocol):
    """One kind of database."""

    now: str
    """Its time, as an SQL expression: microseconds since 1970."""

    def add_note(self) -> str:
        """The statement that adds a note where none is. Where one is that was kept for long enough, it may take it."""
        ...

    def claim(self, connection: Connection, values: Mapping[str, Any]) -> Found | None:
        """Claims, and reads what is there then. `None`: it couldn't be read; somebody else is at it."""
        ...

    @property
    def waits(self) -> str:
        """A condition that always holds, for a statement that changes a row: it bounds the wait for its lock."""
        ...

    @property
    def at_connect(self) -> Sequence[str]:
        """Statements for each new connection."""
        ...

    def refusal(self, connection: Connection) -> str | None:
        """Why a server can't keep claims, or `None`: it is a replica, or can only be read."""
        ...

    def fault(self, error: DBAPIError) -> Fault:
        """What kind an error is of."""
        ...


FREE: Final = "(c.kept_until <= {now} or (c.completed_at is null and (c.held_until is null or c.held_until <= {now})))"
"""A record that anybody may take: of the row `c`, at the time `now`."""
