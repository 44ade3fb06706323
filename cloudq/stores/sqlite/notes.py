"""`SqliteNotes`: notes in a table of their own, each write, or several together, one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from sqlite3 import Cursor
from typing import Any, Final, Protocol, TypeVar

from cloudq.core.clock import from_micros
from cloudq.core.notes import Note, NoteWrite, Written, new_version, note_digest, shown_name
from cloudq.sqlite_file.boot import Moment
from cloudq.stores.sqlite.rows import KEPT

T = TypeVar("T")
_MICROSECOND: Final = timedelta(microseconds=1)

_READ: Final = f"""
    SELECT version, boot, written_wall, written_mark, kept_wall, kept_mark, note FROM store_note
     WHERE digest = :digest AND {KEPT}
"""
_WRITE: Final = """
    INSERT OR REPLACE INTO store_note(digest, namespace, name, version, boot, written_wall, written_mark, kept_wall,
                                      kept_mark, note)
    VALUES (:digest, :namespace, :name, :version, :boot, :wall, :mark, :kept_wall, :kept_mark, :note)
"""
_SWEEP: Final = f"""
    DELETE FROM store_note WHERE digest IN
        (SELECT digest FROM store_note WHERE kept_wall <= :wall AND NOT {KEPT} ORDER BY kept_wall LIMIT :limit)
"""


class Transactions(Protocol):
    """How the store's file is looked at and written to, with the moment at which that is done."""

    def look(self, work: Callable[[Cursor, Moment], T]) -> T:
        """Runs a look."""
        ...

    def write(self, work: Callable[[Cursor, Moment], T], *, durable: bool) -> T:
        """Runs a write transaction."""
        ...


class SqliteNotes:
    """Notes of one namespace.

    Args:
        namespace: Keeps the notes of apps apart that share a file.
        file: Where they are.
    """

    def __init__(self, namespace: str, file: Transactions) -> None:
        self._namespace = namespace
        self._file = file

    def read(self, name: str) -> Note | None:
        """What is there."""
        digest = note_digest(self._namespace, name)
        return self._file.look(lambda cursor, now: _seen(cursor, digest, now))

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        """Writes the note if the latest one is that of version `after`."""
        return self._write([NoteWrite(name=name, text=text, after=after, keep=keep, durable=durable)])[0]

    def write_together(self, writes: Sequence[NoteWrite]) -> Sequence[Written | Note | None]:
        """Makes these writes in one transaction."""
        return self._write(writes) if writes else []

    def sweep(self, limit: int) -> int:
        """Removes up to `limit` notes that were kept for long enough, of all namespaces."""
        return self._file.write(
            lambda cursor, now: cursor.execute(_SWEEP, _at(b"", now) | {"limit": limit}).rowcount, durable=False
        )

    def _write(self, writes: Sequence[NoteWrite]) -> list[Written | Note | None]:
        drawn = [(write, note_digest(self._namespace, write.name), new_version()) for write in writes]
        durable = any(write.durable for write in writes)
        return self._file.write(
            lambda cursor, now: [self._written(cursor, now, *one) for one in drawn], durable=durable
        )

    def _written(
        self, cursor: Cursor, now: Moment, write: NoteWrite, digest: bytes, version: int
    ) -> Written | Note | None:
        seen = _seen(cursor, digest, now)
        if (seen.version if seen else 0) != write.after:
            return seen
        kept = now.plus(write.keep)
        values = {"namespace": self._namespace, "name": shown_name(write.name)}
        kept_for = {"version": version, "kept_wall": kept.wall, "kept_mark": kept.mark, "note": write.text}
        cursor.execute(_WRITE, values | _at(digest, now) | kept_for)
        return Written(version)


def _at(digest: bytes, now: Moment) -> dict[str, Any]:
    return {"digest": digest, "wall": now.wall, "mark": now.mark, "boot": now.boot}


def _seen(cursor: Cursor, digest: bytes, now: Moment) -> Note | None:
    row = cursor.execute(_READ, _at(digest, now)).fetchone()
    if row is None:
        return None
    version, boot, wall, mark, kept_wall, kept_mark, note = row
    same = boot == now.boot
    return Note(
        text=note,
        version=version,
        at=from_micros(wall),
        age=max(0, now.mark - mark if same else now.wall - wall) * _MICROSECOND,
        left=(kept_mark - now.mark if same else kept_wall - now.wall) * _MICROSECOND,
    )
