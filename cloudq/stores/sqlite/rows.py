"""A record as a row: what is in it, and what a caller sees of it at a moment."""

from __future__ import annotations

from sqlite3 import Cursor
from typing import Final, NamedTuple

from cloudq.core.claim_life import Seen
from cloudq.sqlite_file.boot import UNKNOWN, Moment, is_over

KEPT: Final = "(CASE WHEN boot = :boot THEN kept_mark > :mark ELSE kept_wall > :wall END)"
"""Whether a row is still to be kept: by its boot's clock if that is ours, else by the wall clock."""


class Row(NamedTuple):
    """A record.

    Attributes:
        boot: The number of the boot by whose clock `held_mark` and `kept_mark` are.
    """

    token: int
    owner: str
    boot: int
    held_wall: int | None
    held_mark: int | None
    kept_wall: int
    kept_mark: int
    completed_at: int | None
    fingerprint: bytes | None
    result: bytes | None


COLUMNS: Final = ", ".join(Row._fields)


def read(cursor: Cursor, digest: bytes) -> Row | None:
    """The row of a key."""
    found = cursor.execute(f"SELECT {COLUMNS} FROM store_claim WHERE digest = ?", (digest,)).fetchone()
    return None if found is None else Row(*found)


class Boots:
    """What is known of the boots that rows name.

    Args:
        name: Of this boot; `None` where the system names none.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._over: dict[int, bool] = {}

    def is_over(self, cursor: Cursor, number: int) -> bool:
        """Whether it is an earlier boot of this machine: nobody who held a claim then lives."""
        if number == UNKNOWN or self._name is None:
            return False
        if number not in self._over:
            found = cursor.execute("SELECT name FROM store_boot WHERE number = ?", (number,)).fetchone()
            self._over[number] = found is not None and is_over(found[0], self._name)
        return self._over[number]

    def left(self, cursor: Cursor, row: Row, now: Moment) -> int:
        """For how many microseconds the claim holds yet: not more than 0 if it is over."""
        if row.held_wall is None or row.held_mark is None:
            return 0
        if row.boot == now.boot:
            return row.held_mark - now.mark
        return 0 if self.is_over(cursor, row.boot) else row.held_wall - now.wall

    def seen(
        self, cursor: Cursor, row: Row | None, now: Moment, *, owner: str | None = None, token: int | None = None
    ) -> Seen:
        """What is there for a caller, who is known by the owner's name or by the token."""
        if row is None or kept_for(row, now) <= 0:
            return Seen.NOTHING
        own = row.token == token or (row.owner != "" and row.owner == owner)
        if row.completed_at is not None:
            return Seen.OWN_COMPLETED if own else Seen.COMPLETED
        if row.held_wall is None:
            return Seen.OWN_RELEASED if own else Seen.RELEASED
        if own:
            return Seen.OWN
        return Seen.HELD if self.left(cursor, row, now) > 0 else Seen.LAPSED


def kept_for(row: Row, now: Moment) -> int:
    """For how many microseconds the row is kept yet."""
    return row.kept_mark - now.mark if row.boot == now.boot else row.kept_wall - now.wall
