"""`SqliteStore`: the store contract in an SQLite file, for the processes of one machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from sqlite3 import Cursor
from typing import Any, Final

from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.core.claim_life import TABLE, Call, Does, Seen, next_token
from cloudq.core.clock import SYSTEM_CLOCK, Clock, from_micros
from cloudq.core.notes import shown_name
from cloudq.core.store import Claim, Claimed, ClaimKey, Completed, Forgotten, InProgress, Record, RecordState
from cloudq.sqlite_file.boot import LATEST, Moment
from cloudq.sqlite_file.files import OWNER_ONLY
from cloudq.stores.sqlite.file import StoreFile
from cloudq.stores.sqlite.notes import SqliteNotes
from cloudq.stores.sqlite.rows import KEPT, Row, kept_for, read

_MICROSECOND: Final = timedelta(microseconds=1)

# One statement, which SQLite makes a transaction of its own: what is new is claimed so.
_INSERT: Final = """
    INSERT INTO store_claim(digest, namespace, task, key, token, owner, boot, held_wall, held_mark, kept_wall,
                            kept_mark, fingerprint)
    VALUES (:digest, :namespace, :task, :key, max((SELECT token FROM store_last) + 1, :wall), :owner, :boot, :held_wall,
            :held_mark, :kept_wall, :kept_mark, :fingerprint)
    ON CONFLICT DO NOTHING RETURNING token
"""
_TAKE: Final = """
    UPDATE store_claim SET token = :token, owner = :owner, boot = :boot, held_wall = :held_wall, held_mark = :held_mark,
           kept_wall = :kept_wall, kept_mark = :kept_mark, completed_at = NULL, fingerprint = :fingerprint,
           result = NULL
     WHERE digest = :digest
"""
_MINE: Final = f"digest = :digest AND token = :token AND completed_at IS NULL AND held_wall IS NOT NULL AND {KEPT}"
# What a claim of an earlier boot was kept for is known by the wall clock alone; from the first renewal on by both.
_EXTEND: Final = f"""
    UPDATE store_claim SET held_wall = :held_wall, held_mark = :held_mark, kept_wall = max(kept_wall, :held_wall),
           kept_mark = max(CASE WHEN boot = :boot THEN kept_mark ELSE :mark + kept_wall - :wall END, :held_mark),
           boot = :boot
     WHERE {_MINE}
"""
_COMPLETE: Final = f"""
    UPDATE store_claim SET held_wall = NULL, held_mark = NULL, completed_at = :wall, result = :result, boot = :boot,
           kept_wall = :kept_wall, kept_mark = :kept_mark
     WHERE {_MINE}
"""
_RELEASE: Final = (
    f"UPDATE store_claim SET held_wall = NULL, held_mark = NULL, owner = '', fingerprint = NULL WHERE {_MINE}"
)
_SWEEP: Final = f"""
    DELETE FROM store_claim WHERE digest IN
        (SELECT digest FROM store_claim WHERE kept_wall <= :wall AND NOT {KEPT} ORDER BY kept_wall LIMIT :limit)
    RETURNING token
"""


class SqliteStore:
    """Records in tables of their own. Spans go by the clock that can't be set; after a reboot by the wall clock.

    A claim isn't flushed to the disk: a loss of power that undoes it ends its owner as well. A completion is.

    Args:
        path: The file, created if there is none; that of the embedded backend is shared with it.
        namespace: Keeps the keys of apps apart that share a file.
        clock: Where the time comes from.
        timeout: How long a call may take, waiting for other threads, processes and programs included.
        full: Whether completions are flushed before they count: `False` may undo the last ones in a loss of power.
        mode: Who may read and write the files that are made. Those that exist keep theirs.

    Raises:
        ConfigurationError: The path can't be that of a database.
        SchemaMismatch: The file is another program's database, or of a newer cloudq. It was left as it is.
        StoreRefused: It can't be opened or written.
        StoreUnavailable: Others held it for longer than a call waits.
    """

    def __init__(
        self,
        path: Path,
        namespace: str,
        *,
        clock: Clock = SYSTEM_CLOCK,
        timeout: timedelta = CALL_TIMEOUT,
        full: bool = True,
        mode: int = OWNER_ONLY,
    ) -> None:
        self._namespace = namespace
        self._file = StoreFile(path, clock=clock, timeout=timeout, full=full, mode=mode)
        self.notes = SqliteNotes(namespace, self._file)

    def __repr__(self) -> str:
        """The file."""
        return f"SqliteStore({str(self._file.path)!r})"

    def claim(
        self, key: ClaimKey, *, owner: str, lease: timedelta, fingerprint: bytes | None, keep: timedelta
    ) -> Claim:
        """Takes the key, unless somebody has it or its work is done."""
        values: dict[str, Any] = {
            "digest": key.digest(self._namespace),
            "namespace": self._namespace,
            "task": shown_name(key.task),
            "key": shown_name(key.key),
            "owner": owner,
            "fingerprint": fingerprint,
        }

        def insert(cursor: Cursor, now: Moment) -> int | None:
            # To its end: only then is it committed.
            found = cursor.execute(_INSERT, values | _ends(now, lease, lease + keep)).fetchall()
            return int(found[0][0]) if found else None

        def take(cursor: Cursor, now: Moment) -> Claim | None:
            row = read(cursor, values["digest"])
            if row is None:
                return None  # it was forgotten, or swept, since the insert
            does = TABLE[Call.CLAIM][self._file.boots.seen(cursor, row, now, owner=owner)]
            if does is Does.REFUSES:
                return self._instead(cursor, row, now)
            if does is Does.EXTENDS:
                cursor.execute(_EXTEND, _ends(now, lease) | {"digest": values["digest"], "token": row.token})
                return Claimed(row.token)
            token = next_token(row.token, now.wall)
            cursor.execute(_TAKE, values | _ends(now, lease, lease + keep) | {"token": token})
            return Claimed(token)

        while True:
            token = self._file.write(insert, durable=False, alone=True)
            if token is not None:
                return Claimed(token)
            said = self._file.write(take, durable=False)
            if said is not None:
                return said

    def renew(self, key: ClaimKey, token: int, lease: timedelta) -> bool:
        """Has the claim last for `lease` from now."""
        return self._changes(Call.RENEW, key, token, _EXTEND, lambda now: _ends(now, lease), durable=False)

    def complete(self, key: ClaimKey, token: int, *, result: bytes | None, keep: timedelta) -> bool:
        """Records that the work is done."""

        def ends(now: Moment) -> dict[str, Any]:
            return _ends(now, timedelta(0), keep) | {"result": result}

        return self._changes(Call.COMPLETE, key, token, _COMPLETE, ends, durable=True)

    def release(self, key: ClaimKey, token: int) -> bool:
        """Gives the claim back."""
        return self._changes(Call.RELEASE, key, token, _RELEASE, _now, durable=False)

    def show(self, key: ClaimKey) -> Record | None:
        """What is there, or `None`."""

        def show(cursor: Cursor, now: Moment) -> Record | None:
            row = read(cursor, key.digest(self._namespace))
            seen = self._file.boots.seen(cursor, row, now)
            if row is None or seen is Seen.NOTHING:
                return None
            left = self._file.boots.left(cursor, row, now)
            return Record(
                state=_STATES[seen],
                token=row.token,
                owner=row.owner,
                until=None if row.held_wall is None else from_micros(min(LATEST, now.wall + left)),
                at=None if row.completed_at is None else from_micros(row.completed_at),
                keep_until=from_micros(min(LATEST, now.wall + kept_for(row, now))),
                fingerprint=row.fingerprint,
                result=row.result,
            )

        return self._file.look(show)

    def forget(self, key: ClaimKey, *, force: bool = False) -> Forgotten:
        """Removes the record; that of a claim that holds only with `force`."""
        call = Call.FORGET_LIVE if force else Call.FORGET

        def forget(cursor: Cursor, now: Moment) -> Forgotten:
            digest = key.digest(self._namespace)
            row = read(cursor, digest)
            does = TABLE[call][self._file.boots.seen(cursor, row, now)]
            if does is Does.REMOVES and row is not None:
                cursor.execute("DELETE FROM store_claim WHERE digest = ?", (digest,))
                _remember(cursor, row.token)
            return _FORGOTTEN[does]

        return self._file.write(forget, durable=True)

    def sweep(self, limit: int) -> int:
        """Removes up to `limit` records, then notes, that were kept for long enough, of all namespaces."""

        def sweep(cursor: Cursor, now: Moment) -> int:
            tokens = [row[0] for row in cursor.execute(_SWEEP, _now(now) | {"limit": limit}).fetchall()]
            _remember(cursor, max(tokens, default=0))
            return len(tokens)

        removed = self._file.write(sweep, durable=False)
        return removed + (self.notes.sweep(limit - removed) if removed < limit else 0)

    def close(self) -> None:
        """Closes the file, once the transactions under way have ended."""
        self._file.close()

    def _changes(
        self,
        call: Call,
        key: ClaimKey,
        token: int,
        statement: str,
        values: Callable[[Moment], dict[str, Any]],
        *,
        durable: bool,
    ) -> bool:
        """Changes the claim's own record. Where there is none to change, a look says whether it is so already."""
        mine = {"digest": key.digest(self._namespace), "token": token}

        def change(cursor: Cursor, now: Moment) -> bool:
            return bool(cursor.execute(statement, values(now) | mine).rowcount)

        def agrees(cursor: Cursor, now: Moment) -> bool:
            row = read(cursor, key.digest(self._namespace))
            return TABLE[call][self._file.boots.seen(cursor, row, now, token=token)] is Does.AGREES

        return self._file.write(change, durable=durable, alone=True) or self._file.look(agrees)

    def _instead(self, cursor: Cursor, row: Row, now: Moment) -> Claim:
        if row.completed_at is not None:
            return Completed(from_micros(row.completed_at), row.result, row.fingerprint)
        return InProgress(self._file.boots.left(cursor, row, now) * _MICROSECOND, row.fingerprint)


def _now(now: Moment) -> dict[str, Any]:
    return {"wall": now.wall, "mark": now.mark, "boot": now.boot}


def _ends(now: Moment, held: timedelta, kept: timedelta = timedelta(0)) -> dict[str, Any]:
    hold, keep = now.plus(held), now.plus(kept)
    return _now(now) | {
        "held_wall": hold.wall,
        "held_mark": hold.mark,
        "kept_wall": keep.wall,
        "kept_mark": keep.mark,
    }


def _remember(cursor: Cursor, token: int) -> None:
    cursor.execute("UPDATE store_last SET token = ? WHERE token < ?", (token, token))


_STATES: Final = {
    Seen.RELEASED: RecordState.RELEASED,
    Seen.LAPSED: RecordState.LAPSED,
    Seen.HELD: RecordState.IN_PROGRESS,
    Seen.COMPLETED: RecordState.COMPLETED,
}
_FORGOTTEN: Final = {
    Does.REMOVES: Forgotten.REMOVED,
    Does.AGREES: Forgotten.NOTHING_THERE,
    Does.REFUSES: Forgotten.STILL_RUNNING,
}
