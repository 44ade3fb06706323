"""Storing messages: de-duplicated by native id, and each behind the earlier ones of its ordering key."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from itertools import count
from typing import Final, TypeAlias

from cloudq.core.driver import Outgoing, SendResult
from cloudq.core.message import is_ordered
from cloudq.drivers.sqlite.cancelling import receipt_of
from cloudq.drivers.sqlite.rows import UNDELAYED, later, listed, portions, stored_failure
from cloudq.errors import BackendError, CloudqError, MessageTooLarge, UnsupportedError

# queue, id, body, due_at, the two moments that are the same at first, and whether it is delayed
PlainRow: TypeAlias = "tuple[str, str, bytes | bytearray, int, int, int, int | None]"
# The same with group_key and failure at its end
Row: TypeAlias = "tuple[str, str, bytes | bytearray, int, int, int, int | None, str | None, bytes | None]"
# The same with failure and fair_key at its end
FairRow: TypeAlias = "tuple[str, str, bytes | bytearray, int, int, int, int | None, bytes | None, str | None]"

STORED: Final = SendResult(duplicate=False)
# A dead letter's or a retry's copy may be a little larger than what a producer sends (semantics 6).
COPY_ROOM: Final = 16 * 1024
# Bytes of a body that is on few pages.
_SMALL: Final = 16 * 1024

# Larger than each that was ever used: the newest message is there, or was noted when it was deleted (see the schema).
_NEXT: Final = "1 + max((SELECT coalesce(max(seq), 0) FROM message), (SELECT seq FROM last))"
# What has neither an ordering key nor a failure, as most have: sqlite3 offers each None to its adapters, which takes a
# tenth of the time that the whole statement does.
_INSERT_PLAIN: Final = f"""
    INSERT INTO message(seq, queue, id, body, due_at, first_received_at, visible_at, boot)
    VALUES ({_NEXT}, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608 - of constants
_INSERT: Final = f"""
    INSERT INTO message(seq, queue, id, body, due_at, first_received_at, visible_at, boot, group_key, failure)
    VALUES ({_NEXT}, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608 - of constants
_INSERT_FAIR: Final = f"""
    INSERT INTO message(seq, queue, id, body, due_at, first_received_at, visible_at, boot, failure, fair_key)
    VALUES ({_NEXT}, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""  # noqa: S608 - of constants
# NULL hides it until the last earlier one of its key is gone.
_INSERT_IN_ORDER: Final = f"""
    INSERT INTO message(seq, queue, id, group_key, due_at, failure, body, first_received_at, visible_at, boot)
    SELECT {_NEXT}, queue, id, group_key, due_at, failure, body, placeholder, CASE
            WHEN EXISTS (SELECT 1 FROM message WHERE queue = new.queue AND group_key = new.group_key) THEN NULL
            ELSE visible_at
        END, boot
    FROM (SELECT ? AS queue, ? AS id, ? AS body, ? AS due_at, ? AS placeholder, ? AS visible_at, ? AS boot,
        ? AS group_key, ? AS failure) AS new
"""  # noqa: S608 - of constants
_KNOWN: Final = "SELECT native_id, id FROM dedup WHERE queue = ? AND expires_at > ? AND native_id IN (*)"
_REMEMBER: Final = """
    INSERT INTO dedup(queue, native_id, id, expires_at) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET id = excluded.id, expires_at = excluded.expires_at
"""
# More than a full batch adds, so that old ones don't pile up; few enough not to be felt.
_FORGET: Final = """
    DELETE FROM dedup WHERE (queue, native_id) IN
        (SELECT queue, native_id FROM dedup WHERE expires_at <= ? ORDER BY expires_at LIMIT 1000)
"""


def refusal(item: Outgoing, max_body: int) -> CloudqError | None:
    """Why an item can't be stored at all, or `None`."""
    if len(item.body) > max_body + COPY_ROOM:
        return MessageTooLarge(f"message {item.id!r} has {len(item.body):,} bytes; at most {max_body:,} are stored")
    if item.ordering_key is not None and not is_ordered(item.queue):
        return UnsupportedError(
            f"queue {item.queue!r} keeps no order, so an ordering key is refused",
            hint="use a queue whose name ends in .fifo",
        )
    if item.fairness_key is not None and is_ordered(item.queue):
        return UnsupportedError(f"queue {item.queue!r} keeps an order, which leaves nothing to share by fairness_key")
    return None


def store(cursor: sqlite3.Cursor, items: Sequence[Outgoing], now: int, window: timedelta | None) -> list[SendResult]:
    """Stores each item, unless its native id was stored within the window. Runs in a write transaction."""
    duplicates = _remember(cursor, items, now, window) if window else {}
    new = [item for index, item in enumerate(items) if index not in duplicates] if duplicates else items
    if any(item.ordering_key is not None for item in new):
        cursor.executemany(_INSERT_IN_ORDER, [_row(item, now) for item in new])
    elif any(item.fairness_key is not None for item in new):
        cursor.executemany(_INSERT_FAIR, [_fair_row(item, now) for item in new])
    elif any(item.failure is not None for item in new):
        cursor.executemany(_INSERT, [_row(item, now) for item in new])
    else:
        cursor.executemany(_INSERT_PLAIN, [_plain_row(item, now) for item in new])
    # Nobody else inserts within the transaction, so the numbers count on by one.
    last = cursor.execute("SELECT last_insert_rowid()").fetchone()[0] if new else 0
    seqs = count(last - len(new) + 1)
    return [
        SendResult(duplicate=True, original_id=duplicates[index]) if index in duplicates else _stored(item, next(seqs))
        for index, item in enumerate(items)
    ]


def store_alone(cursor: sqlite3.Cursor, item: Outgoing, now: int) -> list[SendResult]:
    """Stores an item that `is_alone`. One statement, which needn't run in a transaction."""
    if item.fairness_key is not None:
        cursor.execute(_INSERT_FAIR, _fair_row(item, now))
    elif item.ordering_key is None and item.failure is None:
        cursor.execute(_INSERT_PLAIN, _plain_row(item, now))
    else:
        cursor.execute(_INSERT if item.ordering_key is None else _INSERT_IN_ORDER, _row(item, now))
    return [_stored(item, cursor.lastrowid or 0)]


def is_alone(items: Sequence[Outgoing], window: timedelta | None) -> bool:
    """Whether they are one item that takes one statement, and is written on few pages."""
    if len(items) != 1:
        return False
    (item,) = items
    return len(item.body) <= _SMALL and (item.native_id is None or window is None)


def unstorable(items: Sequence[Outgoing]) -> list[BackendError | None]:
    """Why each item is one that no statement takes, or `None`. Tried on a database of its own, where nothing waits."""
    with closing(sqlite3.connect(":memory:")) as connection:
        return [_untaken(connection, item) for item in items]


def _untaken(connection: sqlite3.Connection, item: Outgoing) -> BackendError | None:
    try:
        values = (*_row(item, 0), item.fairness_key, item.native_id)
        connection.execute("SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?", values)
    except (TypeError, ValueError, sqlite3.Error) as error:
        return BackendError(f"message {item.id!r} can't be stored: {error}")
    return None


def _plain_row(item: Outgoing, now: int) -> PlainRow:
    due = later(now, item.delay) if item.delay else now
    # As None, bytes would be offered to the adapters, bytearray isn't: so a copy costs less, while it is small.
    body = bytearray(item.body) if len(item.body) <= _SMALL else item.body
    return (item.queue, item.id, body, due, due, due, None if item.delay else UNDELAYED)


def _row(item: Outgoing, now: int) -> Row:
    return (*_plain_row(item, now), item.ordering_key, stored_failure(item.failure))


def _fair_row(item: Outgoing, now: int) -> FairRow:
    return (*_plain_row(item, now), stored_failure(item.failure), item.fairness_key)


def _stored(item: Outgoing, seq: int) -> SendResult:
    return SendResult(duplicate=False, receipt=receipt_of(seq, item.id)) if item.cancellable else STORED


def _remember(cursor: sqlite3.Cursor, items: Sequence[Outgoing], now: int, window: timedelta) -> dict[int, str]:
    """Notes the native ids that are new. Returns the index of each item that isn't, with the id stored first."""
    named = [(index, item, item.native_id) for index, item in enumerate(items) if item.native_id is not None]
    if not named:
        return {}
    known = _find_known(cursor, named, now)
    expires_at = later(now, window)
    duplicates: dict[int, str] = {}
    new: list[tuple[str, str, str, int]] = []
    for index, item, native_id in named:
        original = known.get((item.queue, native_id))
        if original is not None:
            duplicates[index] = original
            continue
        known[item.queue, native_id] = item.id
        new.append((item.queue, native_id, item.id, expires_at))
    cursor.executemany(_REMEMBER, new)
    cursor.execute(_FORGET, (now,))
    return duplicates


def _find_known(
    cursor: sqlite3.Cursor, named: Sequence[tuple[int, Outgoing, str]], now: int
) -> dict[tuple[str, str], str]:
    known: dict[tuple[str, str], str] = {}
    for queue in {item.queue for _, item, _ in named}:
        native_ids = [native_id for _, item, native_id in named if item.queue == queue]
        for portion in portions(native_ids):
            sql, values = listed(_KNOWN, portion)
            for native_id, id_ in cursor.execute(sql, (queue, now, *values)):
                known[queue, native_id] = id_
    return known
