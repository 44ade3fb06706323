"""Looking at a queue, and emptying it."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Final

from cloudq.core.driver import QueueStats
from cloudq.core.message import is_ordered
from cloudq.drivers.sqlite.leasing import promote
from cloudq.drivers.sqlite.rows import UNDELAYED
from cloudq.sqlite_file.boot import AXIS, LATEST, Moment

# Of one transaction of a purge: so that others wait for milliseconds, and the log stays short.
PURGE_PORTION: Final = 5_000

_STATS: Final = """
    SELECT
        count(*) FILTER (WHERE visible_at IS NULL OR visible_at <= :wall OR visible_at >= ''
            OR (visible_at < :axis AND boot = :undelayed)),
        count(*) FILTER (WHERE visible_at > :wall AND visible_at < :axis AND boot IS NOT :undelayed),
        count(*) FILTER (WHERE boot = :boot AND visible_at >= :axis AND visible_at <= :mark),
        count(*) FILTER (WHERE boot = :boot AND visible_at > :mark AND visible_at < ''),
        (SELECT count(*) FROM message
            WHERE queue = :queue AND visible_at >= :axis AND boot <> :boot AND due_at <= :wall),
        (SELECT count(*) FROM message
            WHERE queue = :queue AND visible_at >= :axis AND boot <> :boot AND due_at > :wall),
        min(visible_at) FILTER (WHERE visible_at < :axis),
        :wall - :mark + min(visible_at) FILTER (WHERE boot = :boot AND visible_at >= :axis AND visible_at < ''),
        (SELECT min(due_at) FROM message
            WHERE queue = :queue AND visible_at >= :axis AND boot <> :boot AND due_at < ''),
        (SELECT min(due_at) FROM message WHERE queue = :queue AND visible_at IS NULL AND due_at < ''),
        (SELECT count(*) FROM dead WHERE queue = :queue)
    FROM message WHERE queue = :queue
"""
_LAST: Final = "SELECT coalesce(max(seq), 0) FROM message"
# In the order of the index, in which those that wait behind others come first: so nobody is promoted to be deleted.
_PURGE: Final = """
    DELETE FROM message WHERE seq IN
        (SELECT seq FROM message WHERE queue = ? AND seq <= ? ORDER BY visible_at LIMIT ?)
    RETURNING group_key
"""


def stats(cursor: sqlite3.Cursor, queue: str, now: Moment) -> QueueStats:
    """How full the queue is. One statement, so that the numbers fit together."""
    values = {
        "queue": queue,
        "axis": AXIS,
        "wall": now.wall,
        "mark": now.mark,
        "boot": now.boot,
        "undelayed": UNDELAYED,
    }
    free, delayed, over, held, foreign_over, foreign_held, *since, dead = cursor.execute(_STATS, values).fetchone()
    ready = free + over + foreign_over
    oldest = min((moment for moment in since if moment is not None), default=now.wall)
    age = timedelta(microseconds=min(max(0, now.wall - oldest), LATEST)) if ready else None
    return QueueStats(ready=ready, delayed=delayed, in_flight=held + foreign_held, dead=dead, oldest_age=age)


def last_seq(cursor: sqlite3.Cursor) -> int:
    """Of the newest message of all queues."""
    last: int = cursor.execute(_LAST).fetchone()[0]
    return last


def purge_portion(cursor: sqlite3.Cursor, queue: str, last: int) -> int:
    """Deletes some of the queue's messages up to `last`; 0 when none is left. Runs in a write transaction."""
    rows = cursor.execute(_PURGE, (queue, last, PURGE_PORTION)).fetchall()
    if is_ordered(queue):
        # Messages sent meanwhile wait behind those that are being deleted.
        promote(cursor, {(queue, group) for (group,) in rows if group is not None})
    return len(rows)
