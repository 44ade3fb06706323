"""Taking back what nobody began."""

from __future__ import annotations

import sqlite3
from typing import Final

from cloudq.drivers.sqlite.leasing import promote

# runs isn't 0 from the lease on, whatever became of it; a release of what wasn't begun takes it back. A seq is never
# used twice, but this may be another file than the one that the receipt is of.
_CANCEL: Final = "DELETE FROM message WHERE seq = ? AND id = ? AND queue = ? AND runs = 0 RETURNING group_key"


def receipt_of(seq: int, id_: str) -> str:
    """What cancels the message of a row."""
    return f"{seq}-{id_}"


def cancel(cursor: sqlite3.Cursor, queue: str, receipt: str) -> bool:
    """Deletes the message if nobody began it; whether it did. Runs in a write transaction.

    Raises:
        ValueError: The receipt isn't one of `receipt_of`.
    """
    seq, _, id_ = receipt.partition("-")
    if not seq.isdecimal() or len(seq) > 18:
        raise ValueError("this is no receipt of a message in SQLite")
    row = cursor.execute(_CANCEL, (int(seq), id_, queue)).fetchone()
    if row is None:
        return False
    if row[0] is not None:
        promote(cursor, {(queue, row[0])})
    return True
