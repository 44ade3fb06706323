"""Handing messages over, and what becomes of their leases.

A message is leased while `visible_at` is from `AXIS` on and ahead by the clock of its `boot` (boot.py). A release puts
it before that, a new delivery has a new number, and a deleted row's `seq` is never used again: an old receipt fits
nothing.

Below `AXIS`, `visible_at` is by the wall clock, which may have been set since, or be another one. For what was delayed
that is when it is due. What wasn't is ready whatever that clock says now: `boot` tells which it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple, TypeAlias

from cloudq.core.clock import from_micros
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Ack, ExtendResult, NativeDeadLetter, Release, SettleResult
from cloudq.core.driver import Final as FinalCall
from cloudq.drivers.sqlite import foreign_rows
from cloudq.drivers.sqlite.foreign_rows import LeasedRow
from cloudq.drivers.sqlite.rows import (
    UNDELAYED,
    MessageReceipt,
    Receipt,
    kept_failure,
    later,
    lease_lost,
    listed,
    portions,
    stored_failure,
)
from cloudq.sqlite_file.boot import AXIS, End, Moment

SETTLED: Final = SettleResult()

# A text or a blob that another program put into visible_at is behind all numbers; '' is the first of them.
_LOOK: Final = """
    SELECT
        (SELECT visible_at FROM message WHERE queue = ? AND visible_at < '' ORDER BY visible_at LIMIT 1),
        (SELECT visible_at FROM message WHERE queue = ? AND visible_at >= ? AND visible_at < '' AND boot = ?
            ORDER BY visible_at LIMIT 1)
"""
_LOOK_AT_RARE: Final = """
    SELECT
        (SELECT min(iif(due_at < '', due_at, 0)) FROM message
            WHERE queue = :queue AND visible_at >= :axis AND boot <> :boot),
        EXISTS (SELECT 1 FROM message
            WHERE queue = :queue AND visible_at > :wall AND visible_at < :axis AND boot = :undelayed)
        OR EXISTS (SELECT 1 FROM message WHERE queue = :queue AND visible_at >= ''),
        EXISTS (SELECT 1 FROM message WHERE queue = :queue AND fair_key IS NOT NULL),
        EXISTS (SELECT 1 FROM paused WHERE queue = :queue)
"""
# It is ready since its end; or since now, if the wall clock was set back.
_END_LEASES: Final = """
    UPDATE message SET boot = :undelayed, visible_at = min(due_at, :wall)
    WHERE queue = :queue AND visible_at >= :axis
        AND ((boot = :boot AND visible_at <= :mark) OR (boot <> :boot AND (due_at <= :wall OR due_at >= '')))
"""
_SHOW: Final = """
    UPDATE message SET visible_at = :wall
    WHERE queue = :queue AND visible_at > :wall AND visible_at < :axis AND boot = :undelayed
"""
_SHOW_FOREIGN: Final = """
    UPDATE message SET visible_at = :wall, boot = :undelayed WHERE queue = :queue AND visible_at >= ''
"""
_LEASE: Final = """
    UPDATE message SET
        visible_at = ?, due_at = ?, boot = ?, deliveries = deliveries + 1, runs = runs + 1,
        first_received_at = CASE deliveries WHEN 0 THEN ? ELSE first_received_at END
    WHERE seq IN (SELECT seq FROM message WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, seq LIMIT ?)
    RETURNING seq, id, group_key, deliveries, runs, first_received_at, failure, body
"""
_LEASE_CHOSEN: Final = """
    UPDATE message SET
        visible_at = ?, due_at = ?, boot = ?, deliveries = deliveries + 1, runs = runs + 1,
        first_received_at = CASE deliveries WHEN 0 THEN ? ELSE first_received_at END
    WHERE seq IN (*)
    RETURNING seq, id, group_key, deliveries, runs, first_received_at, failure, body
"""
_HELD: Final = """
    SELECT seq, deliveries, queue, group_key FROM message WHERE boot = ? AND visible_at > ? AND seq IN (*)
"""
_DELETE: Final = "DELETE FROM message WHERE seq = ?"
_RELEASE: Final = """
    UPDATE message SET visible_at = ?, boot = ?, runs = runs - ?, failure = coalesce(?, failure) WHERE seq = ?
"""
_BURY: Final = """
    INSERT INTO dead(queue, id, group_key, dead_at, deliveries, runs, first_received_at, failure, body)
    SELECT queue, id, group_key, ?, deliveries, runs, first_received_at, ?, body FROM message WHERE seq = ?
"""
# Only the oldest of a key, and only if it is still behind somebody.
_PROMOTE: Final = """
    UPDATE message SET visible_at = due_at
    WHERE visible_at IS NULL AND seq = (SELECT min(seq) FROM message WHERE queue = ? AND group_key = ?)
"""
_EXTEND: Final = "UPDATE message SET visible_at = ?, due_at = ? WHERE seq = ?"


Look: TypeAlias = "tuple[int | None, int | None]"
"""When the first message is visible (from `AXIS` on that is the end of a lease), and when the first lease of our boot
ends; `None` where there is none."""


def look(cursor: sqlite3.Cursor, queue: str, boot: int) -> Look:
    """When a receive has something to return."""
    found: Look = cursor.execute(_LOOK, (queue, queue, AXIS, boot)).fetchone()
    return found


def pause(found: Look, now: Moment) -> int | None:
    """For how many microseconds there is nothing to return; 0 or less: there is. `None`: the queue is empty."""
    ready, lease = found
    if ready is None:
        return None
    waits = [] if lease is None else [lease - now.mark]
    if ready < AXIS:
        waits.append(ready - now.wall)
    return min(waits, default=None)


def lease_ended(found: Look, now: Moment) -> bool:
    """Whether a lease of our boot is over: its holder didn't come to settle the message."""
    return found[1] is not None and found[1] <= now.mark


class Rare(NamedTuple):
    """What is seldom there.

    Attributes:
        hidden: Whether something is ready that `look` doesn't see.
        fair: Whether a message has a fairness key.
        paused: Whether the queue is paused.
    """

    hidden: bool
    fair: bool
    paused: bool


def look_at_rare(cursor: sqlite3.Cursor, queue: str, now: Moment) -> Rare:
    """What is seldom there of a queue.

    Something that is ready is hidden from `look` in three cases.

    A lease of another boot is over, or what wasn't delayed was stored by a wall clock that is ahead of this one, or
    another program has put something else in the place of a time.
    """
    foreign_end, undelayed, fair, paused = cursor.execute(_LOOK_AT_RARE, _values(queue, now)).fetchone()
    return Rare(bool(undelayed) or (foreign_end is not None and foreign_end <= now.wall), bool(fair), bool(paused))


def end_leases(cursor: sqlite3.Cursor, queue: str, now: Moment) -> None:
    """Makes what was under leases that are over ready. Runs in a write transaction."""
    cursor.execute(_END_LEASES, _values(queue, now))


def show_undelayed(cursor: sqlite3.Cursor, queue: str, now: Moment) -> None:
    """Makes what wasn't delayed ready by this wall clock, too, and what has no time. Runs in a write transaction."""
    cursor.execute(_SHOW, _values(queue, now))
    cursor.execute(_SHOW_FOREIGN, _values(queue, now))


def take(cursor: sqlite3.Cursor, queue: str, *, limit: int, now: Moment, until: End) -> list[LeasedRow]:
    """Leases what has been ready for longest, until then. Runs in a write transaction."""
    values = (until.mark, until.wall, now.boot, now.wall, queue, now.wall, limit)
    rows = cursor.execute(_LEASE, values).fetchall()
    rows.sort()  # RETURNING has an order of its own
    return rows


def take_chosen(cursor: sqlite3.Cursor, seqs: Sequence[int], *, now: Moment, until: End) -> list[LeasedRow]:
    """Leases these, which are ready, until then; in their order. Runs in a write transaction."""
    rows: dict[int, LeasedRow] = {}
    for portion in portions(seqs):
        sql, values = listed(_LEASE_CHOSEN, portion)
        rows |= {row[0]: row for row in cursor.execute(sql, (until.mark, until.wall, now.boot, now.wall, *values))}
    return [rows[seq] for seq in seqs]


def deliveries(
    rows: Sequence[LeasedRow], queue: str, until: End, receipt: type[Receipt] = MessageReceipt
) -> list[Delivery]:
    """The deliveries of the rows taken. Decoded outside of the transaction, so that nobody waits for it."""
    expires_at = from_micros(until.wall)
    made: list[Delivery] = []
    for row in rows:
        seq, id_, group, number, runs, first_received_at, failure, body = row
        lease = Lease(queue=queue, receipt=receipt(seq=seq, number=number), expires_at=expires_at, ends=until.elapsed)
        if foreign_rows.is_foreign(row):
            made.append(foreign_rows.undecodable(row, lease))
            continue
        made.append(
            Delivery.of(
                body,
                native_id=id_,
                runs=runs,
                deliveries=number,
                copy=str(seq),
                lease=lease,
                group=group,
                first_received_at=from_micros(first_received_at),
                failure=kept_failure(failure),
                failure_kept=True,
                given_back=number - runs,
                raw=seq,
            )
        )
    return made


def settle(cursor: sqlite3.Cursor, finals: Sequence[FinalCall], now: Moment) -> tuple[list[SettleResult], bool]:
    """Carries out the steps of those that are still leased. Runs in a write transaction.

    Returns:
        A result each, and whether another message may have become ready by it.
    """
    held = _find_held(cursor, [final.lease for final in finals], now)
    results: list[SettleResult] = []
    deleted: list[tuple[int]] = []
    buried: list[tuple[int, bytes | None, int]] = []
    released: list[tuple[int, int | None, int, bytes | None, int]] = []
    left: set[tuple[str, str]] = set()  # the queue and key of what went, so that the next may come
    for final in finals:
        receipt = final.lease.receipt
        # Taken out, so that the second of two settlements of one lease is lost.
        place = held.pop(receipt, None) if isinstance(receipt, MessageReceipt) else None
        if place is None or not isinstance(receipt, MessageReceipt):
            results.append(SettleResult(error=lease_lost(final.lease)))
            continue
        results.append(SETTLED)
        seq, step, (queue, group) = receipt.seq, final.step, place
        match step:
            case Release():
                released.append(_released(step, seq, now))
                continue
            case NativeDeadLetter():
                buried.append((now.wall, stored_failure(step.failure), seq))
            case Ack():
                pass
        deleted.append((seq,))
        if group is not None:
            left.add((queue, group))
    cursor.executemany(_RELEASE, released)
    cursor.executemany(_BURY, buried)
    cursor.executemany(_DELETE, deleted)
    promote(cursor, left)
    return results, bool(released or left)


def _released(step: Release, seq: int, now: Moment) -> tuple[int, int | None, int, bytes | None, int]:
    mark = None if step.delay else UNDELAYED
    return (later(now.wall, step.delay), mark, int(not step.counted), stored_failure(step.failure), seq)


def promote(cursor: sqlite3.Cursor, left: set[tuple[str, str]]) -> None:
    """Makes the oldest message of each (queue, key) receivable, if it isn't."""
    cursor.executemany(_PROMOTE, left)


def extend(cursor: sqlite3.Cursor, leases: Sequence[Lease], by: timedelta, now: Moment) -> list[ExtendResult]:
    """Makes each lease that still holds end `by` from now. Runs in a write transaction."""
    held = _find_held(cursor, leases, now)
    until = now.plus(by)
    granted = ExtendResult(expires_at=from_micros(until.wall), ends=until.elapsed)
    results: list[ExtendResult] = []
    extended: list[tuple[int, int, int]] = []
    for one in leases:
        receipt = one.receipt
        if isinstance(receipt, MessageReceipt) and receipt in held:
            extended.append((until.mark, until.wall, receipt.seq))
            results.append(granted)
        else:
            results.append(ExtendResult(error=lease_lost(one)))
    cursor.executemany(_EXTEND, extended)
    return results


def _values(queue: str, now: Moment) -> dict[str, object]:
    return {
        "queue": queue,
        "axis": AXIS,
        "wall": now.wall,
        "mark": now.mark,
        "boot": now.boot,
        "undelayed": UNDELAYED,
    }


def _find_held(
    cursor: sqlite3.Cursor, leases: Sequence[Lease], now: Moment
) -> dict[MessageReceipt, tuple[str, str | None]]:
    """The queue and ordering key of each message whose lease is still one of these."""
    seqs = [one.receipt.seq for one in leases if isinstance(one.receipt, MessageReceipt)]
    held: dict[MessageReceipt, tuple[str, str | None]] = {}
    for portion in portions(seqs):
        sql, values = listed(_HELD, portion)
        for seq, number, queue, group in cursor.execute(sql, (now.boot, now.mark, *values)):
            held[MessageReceipt(seq=seq, number=number)] = (queue, group)
    return held
