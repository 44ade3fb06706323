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
        after: The key whose turn was last, or `START`.

    Returns:
        The rows in the order of their turns, and the key whose turn was last.
    """
    lines, last = _lines(cursor, queue, limit, now, after)
    oldest = [seq for (seq,) in cursor.execute(_OLDEST, (queue, now.wall, limit))]
    turns = _dealt([*lines, oldest], limit)
    return leasing.take_chosen(cursor, turns, now=now, until=until), last


def _lines(cursor: sqlite3.Cursor, queue: str, limit: int, now: Moment, after: str) -> tuple[list[list[int]], str]:
    """What is ready of each key whose turn it is, and the last of these keys."""
    keys: list[str] = []
    key, wrapped = after, False
    for _ in range(MOST_KEYS):
        found = cursor.execute(_NEXT_KEY, (queue, key)).fetchone()
        if found is None or (wrapped and found[0] > after):
            if wrapped or after == START:
                break
            key, wrapped = START, True
            continue
        key = found[0]
        if cursor.execute(_READY, (queue, key, now.wall, 1)).fetchone() is not None:
            keys.append(key)
        if len(keys) == limit:
            break
    if not keys:
        return [], after
    share = -(-limit // len(keys))
    lines = [[seq for (seq,) in cursor.execute(_READY, (queue, one, now.wall, share))] for one in keys]
    return lines, keys[-1]


def _dealt(lines: list[list[int]], limit: int) -> list[int]:
    """One of each line in turn, until there are `limit`; each only once."""
    dealt: dict[int, None] = {}
    for place in range(limit):
        for line in lines:
            if place < len(line) and len(dealt) < limit:
                dealt[line[place]] = None
    return list(dealt)
