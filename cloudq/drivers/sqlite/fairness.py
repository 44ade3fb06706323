"""Sharing a queue by `fairness_key`: round robin over the keys that have something ready.

```
 ready     a a a a a a a a … b  c c           (oldest first)
 one lap   a  b  c  and what is oldest of all
```

So a key with a backlog keeps no other key waiting for longer than a lap. What has no key takes part by its age alone.
Where the last receive stopped, the next one goes on: each process has its own place in the lap.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from cloudq.drivers.sqlite import leasing
from cloudq.drivers.sqlite.foreign_rows import LeasedRow
from cloudq.sqlite_file.boot import End, Moment

# Before the first of all keys, which aren't empty.
START: Final = ""
# Of one receive, under the write lock: there may be very many whose messages are all delayed. It takes two looks at an
# index for each.
MOST_KEYS: Final = 1_000

_NEXT_KEY: Final = "SELECT fair_key FROM message WHERE queue = ? AND fair_key > ? ORDER BY fair_key LIMIT 1"
_READY: Final = """
    SELECT seq FROM message WHERE queue = ? AND fair_key = ? AND visible_at <= ? ORDER BY visible_at, seq LIMIT ?
"""
_OLDEST: Final = "SELECT seq FROM message WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, seq LIMIT ?"


def take(
    cursor: sqlite3.Cursor, queue: str, *, limit: int, now: Moment, until: End, after: str
) -> tuple[list[LeasedRow], str]:
    """Leases up to `limit` messages, those of different keys in turn. Runs in a write transaction.

    Args:
        cursor: Of the transaction.
        queue: Whose messages.
        limit: How many at most; at least 1.
        now: The moment.
        until: When the leases end.
        after: Where the last receive stopped, or `START`.

    Returns:
        The rows in the order of their turns, and where it stopped.
    """
    turns, last = _turns(cursor, queue, limit, now, after)
    share = -(-limit // len(turns)) if turns else 0
    lines = {turn: _ready(cursor, queue, turn, now, limit if turn == START else share) for turn in turns}
    if START not in lines:  # what is left to take, if that is all that there is
        lines[START] = _ready(cursor, queue, START, now, limit)
    return leasing.take_chosen(cursor, _dealt(list(lines.values()), limit), now=now, until=until), last


def _turns(cursor: sqlite3.Cursor, queue: str, limit: int, now: Moment, after: str) -> tuple[list[str], str]:
    """Whose turns come next, of those that have something ready, and where the walk over the keys stopped.

    It goes once around. `START` stands for what is oldest of all, whose turn is between the last key and the first.
    """
    turns: list[str] = []
    at, wrapped = after, False
    for _ in range(MOST_KEYS):
        found = cursor.execute(_NEXT_KEY, (queue, at)).fetchone()
        if len(turns) == limit or (wrapped and (found is None or found[0] > after)):
            break
        if found is None:
            turns.append(START)
            at, wrapped = START, True
            if after == START:
                break
            continue
        at = found[0]
        if _ready(cursor, queue, at, now, 1):
            turns.append(at)
    return turns, at


def _ready(cursor: sqlite3.Cursor, queue: str, turn: str, now: Moment, limit: int) -> list[int]:
    """The numbers of what is ready and may be taken in a turn, the oldest first."""
    if turn == START:
        return [seq for (seq,) in cursor.execute(_OLDEST, (queue, now.wall, limit))]
    return [seq for (seq,) in cursor.execute(_READY, (queue, turn, now.wall, limit))]


def _dealt(lines: list[list[int]], limit: int) -> list[int]:
    """One of each line in turn, until there are `limit`; each only once."""
    dealt: dict[int, None] = {}
    for place in range(limit):
        for line in lines:
            if place < len(line) and len(dealt) < limit:
                dealt[line[place]] = None
    return list(dealt)
