"""`SQLiteDeadLetters`: the dead letters of one queue, in a table of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from cloudq.core import wire
from cloudq.core.clock import Clock, from_micros
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, DeadMessage, SettleResult
from cloudq.core.driver import Final as FinalCall
from cloudq.core.message import Message
from cloudq.drivers.sqlite import foreign_rows
from cloudq.drivers.sqlite.foreign_rows import LeasedRow
from cloudq.drivers.sqlite.leasing import SETTLED, deliveries
from cloudq.drivers.sqlite.rows import DeadReceipt, kept_failure, lease_lost, listed, portions, stored_failure
from cloudq.errors import BackendError, ConfigurationError, UndecodableError
from cloudq.sqlite_file.boot import End, Moment, moment
from cloudq.sqlite_file.connection import Database

_LOOK: Final = (
    "SELECT seq, id, body, failure, dead_at, group_key FROM dead WHERE queue = ? AND seq > ? ORDER BY seq LIMIT ?"
)
_GET: Final = "SELECT seq, id, body, failure, dead_at, group_key FROM dead WHERE queue = ? AND seq = ?"
_OLDEST: Final = """
    SELECT seq FROM dead WHERE queue = :queue
        AND (boot IS NULL OR visible_at >= '' OR lease_end >= ''
            OR (boot = :boot AND visible_at <= :mark) OR (boot <> :boot AND lease_end <= :wall))
    ORDER BY seq LIMIT :limit
"""
_IS_FREE: Final = """
    SELECT seq FROM dead WHERE queue = :queue AND seq = :seq
        AND (boot IS NULL OR visible_at >= '' OR lease_end >= ''
            OR (boot = :boot AND visible_at <= :mark) OR (boot <> :boot AND lease_end <= :wall))
"""
_LEASE: Final = """
    UPDATE dead SET visible_at = ?, lease_end = ?, boot = ?, deliveries = deliveries + 1 WHERE seq IN (*)
    RETURNING seq, id, group_key, deliveries, runs, first_received_at, failure, body
"""
_HELD: Final = "SELECT seq, deliveries FROM dead WHERE boot = ? AND visible_at > ? AND seq IN (*)"
_DELETE: Final = "DELETE FROM dead WHERE seq = ?"
_RELEASE: Final = "UPDATE dead SET visible_at = 0, boot = NULL, failure = coalesce(?, failure) WHERE seq = ?"
_PURGE: Final = "DELETE FROM dead WHERE queue = ?"
_PURGE_KEYS: Final = "DELETE FROM dead WHERE queue = ? AND seq IN (*)"


class SQLiteDeadLetters:
    """`key` is the row's number, which also is the order in which they died.

    Args:
        queue: Whose dead letters.
        database: Gives this process's open database.
        clock: Where the time comes from.
    """

    def __init__(self, queue: str, database: Callable[[], Database], clock: Clock) -> None:
        self._queue = queue
        self._database = database
        self._clock = clock

    def peek(self, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        """Up to `limit`, oldest first, from behind `after`.

        Raises:
            ConfigurationError: `after` can't be the key of a dead letter.
        """
        place = 0 if after is None else _seq(after)
        if place is None:
            raise ConfigurationError(f"{after!r} isn't the key of a dead letter", hint="list them to see their keys")
        rows = self._database().read(
            lambda cursor: cursor.execute(_LOOK, (self._queue, place, max(0, limit))).fetchall()
        )
        return [self._dead_message(row) for row in rows]

    def get(self, key: str) -> DeadMessage | None:
        """The one of that key, if there is one."""
        seq = _seq(key)
        if seq is None:
            return None
        row = self._database().read(lambda cursor: cursor.execute(_GET, (self._queue, seq)).fetchone())
        return None if row is None else self._dead_message(row)

    def take(self, keys: Sequence[str] | None, *, limit: int, lease: timedelta) -> Sequence[Delivery]:
        """Leases up to `limit`; unknown keys, and those that somebody else has taken, are left out."""
        database = self._database()
        rows, until = database.write(
            lambda cursor: self._take(cursor, keys, max(0, limit), lease, database.boot), durable=False
        )
        return deliveries(sorted(rows), self._queue, until, DeadReceipt)

    def settle(self, finals: Sequence[FinalCall]) -> Sequence[SettleResult]:
        """`Ack` deletes; anything else leaves it, at once free to be taken, with the step's failure if it has one."""
        try:
            database = self._database()
            return database.write(
                lambda cursor: self._settle(cursor, finals, moment(self._clock, database.boot)), durable=True
            )
        except BackendError as error:
            return [SettleResult(error=error)] * len(finals)

    def purge(self, keys: Sequence[str] | None) -> int:
        """Deletes those of `keys`, or all, taken ones too."""
        return self._database().write(lambda cursor: self._purge(cursor, keys), durable=True)

    def _take(
        self, cursor: sqlite3.Cursor, keys: Sequence[str] | None, limit: int, lease: timedelta, boot: int
    ) -> tuple[list[LeasedRow], End]:
        now = moment(self._clock, boot)
        seqs = self._free(cursor, keys, limit, now)
        until = now.plus(lease)
        rows: list[LeasedRow] = []
        for portion in portions(seqs):
            sql, values = listed(_LEASE, portion)
            rows += cursor.execute(sql, (until.mark, until.wall, boot, *values)).fetchall()
        return rows, until

    def _free(self, cursor: sqlite3.Cursor, keys: Sequence[str] | None, limit: int, now: Moment) -> list[int]:
        """The numbers of those that nobody holds."""
        values = {"queue": self._queue, "wall": now.wall, "mark": now.mark, "boot": now.boot}
        if keys is None:
            return [seq for (seq,) in cursor.execute(_OLDEST, {**values, "limit": limit})]
        return [seq for seq in _seqs(keys) if cursor.execute(_IS_FREE, {**values, "seq": seq}).fetchone()][:limit]

    def _purge(self, cursor: sqlite3.Cursor, keys: Sequence[str] | None) -> int:
        if keys is None:
            return cursor.execute(_PURGE, (self._queue,)).rowcount
        count = 0
        for portion in portions(_seqs(keys)):
            sql, values = listed(_PURGE_KEYS, portion)
            count += cursor.execute(sql, (self._queue, *values)).rowcount
        return count

    def _settle(self, cursor: sqlite3.Cursor, finals: Sequence[FinalCall], now: Moment) -> list[SettleResult]:
        seqs = [final.lease.receipt.seq for final in finals if isinstance(final.lease.receipt, DeadReceipt)]
        held: set[object] = set()
        for portion in portions(seqs):
            sql, values = listed(_HELD, portion)
            held |= {
                DeadReceipt(seq=seq, number=number)
                for seq, number in cursor.execute(sql, (now.boot, now.mark, *values))
            }
        results: list[SettleResult] = []
        for final in finals:
            receipt, step = final.lease.receipt, final.step
            if not isinstance(receipt, DeadReceipt) or receipt not in held:
                results.append(SettleResult(error=lease_lost(final.lease)))
                continue
            held.remove(receipt)
            match step:
                case Ack():
                    cursor.execute(_DELETE, (receipt.seq,))
                case _:
                    cursor.execute(_RELEASE, (stored_failure(step.failure), receipt.seq))
            results.append(SETTLED)
        return results

    def _dead_message(self, row: tuple[int, str, bytes, bytes | None, int, str | None]) -> DeadMessage:
        seq, id_, stored, failure, dead_at, group = row
        body = foreign_rows.as_bytes(stored)
        message = _decoded(body, self._queue) if body is stored else None
        return DeadMessage(
            key=str(seq),
            id=message.id if message else foreign_rows.as_text(id_),
            queue=self._queue,
            body=body,
            message=message,
            failure=kept_failure(failure),
            dead_at=from_micros(dead_at) if foreign_rows.is_moment(dead_at) else None,
            group=group if isinstance(group, str) else None,
        )


def _decoded(body: bytes, queue: str) -> Message | None:
    try:
        return wire.decode(body, queue)
    except UndecodableError:
        return None  # which is what `DeadMessage.message` says of it


def _seq(key: str) -> int | None:
    """The row's number, if the key can be one."""
    return int(key) if key.isascii() and key.isdigit() and len(key) <= 18 else None


def _seqs(keys: Sequence[str]) -> list[int]:
    return sorted({seq for key in keys if (seq := _seq(key)) is not None})
