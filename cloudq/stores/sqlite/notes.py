"""`SqliteNotes`: notes in a table of their own, each write, or several together, one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from sqlite3 import Cursor
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from cloudq.core.clock import from_micros
from cloudq.core.notes import Note, NoteWrite, Written, new_version, note_digest, shown_name
from cloudq.sqlite_file.boot import Moment
from cloudq.stores.sqlite.rows import KEPT

T = TypeVar("T")
_MICROSECOND: Final = timedelta(microseconds=1)
_FEW_PAGES: Final = 16 * 1024
"""The most bytes of a note that one statement writes without a transaction around it."""

_READ: Final = f"""
    SELECT version, boot, written_wall, written_mark, kept_wall, kept_mark, note FROM store_note
     WHERE digest = :digest AND {KEPT}
"""
_SET: Final = """version = :version, boot = :boot, written_wall = :wall, written_mark = :mark, kept_wall = :kept_wall,
                    kept_mark = :kept_mark, note = :note"""
# Where nothing is, or what was kept for long enough.
_ADD: Final = f"""
    INSERT INTO store_note(digest, namespace, name, version, boot, written_wall, written_mark, kept_wall, kept_mark,
                           note)
    VALUES (:digest, :namespace, :name, :version, :boot, :wall, :mark, :kept_wall, :kept_mark, :note)
    ON CONFLICT DO UPDATE SET {_SET} WHERE NOT {KEPT}
"""
_CHANGE: Final = f"UPDATE store_note SET {_SET} WHERE digest = :digest AND version = :after AND {KEPT}"
_SWEEP: Final = f"""
    DELETE FROM store_note WHERE digest IN
        (SELECT digest FROM store_note WHERE kept_wall <= :wall AND NOT {KEPT} ORDER BY kept_wall LIMIT :limit)
"""


class Transactions(Protocol):
    """How the store's file is looked at and written to, with the moment at which that is done."""

    def look(self, work: Callable[[Cursor, Moment], T]) -> T:
        """Runs a look."""
        ...

    def write(self, work: Callable[[Cursor, Moment], T], *, durable: bool, alone: bool = False) -> T:
        """Runs a write transaction; `alone`: of one statement about a few pages."""
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
        """Writes the note if the latest one is that of version `after`: one statement, followed by a look if not."""
        write = self._prepared(NoteWrite(name=name, text=text, after=after, keep=keep))
        if len(text) > _FEW_PAGES:
            return self._file.write(write.carry_out, durable=durable)
        if self._file.write(write.changes, durable=durable, alone=True):
            return Written(write.version)
        return self.read(name)

    def write_together(self, writes: Sequence[NoteWrite]) -> Sequence[Written | Note | None]:
        """Makes these writes in one transaction."""
        if not writes:
            return []
        prepared = [self._prepared(write) for write in writes]
        durable = any(write.durable for write in writes)
        return self._file.write(lambda cursor, now: [one.carry_out(cursor, now) for one in prepared], durable=durable)

    def sweep(self, limit: int) -> int:
        """Removes up to `limit` notes that were kept for long enough, of all namespaces."""
        return self._file.write(
            lambda cursor, now: cursor.execute(_SWEEP, _at(b"", now) | {"limit": limit}).rowcount, durable=False
        )

    def _prepared(self, write: NoteWrite) -> _Write:
        return _Write(self._namespace, note_digest(self._namespace, write.name), write, new_version())


class _Write(NamedTuple):
    namespace: str
    digest: bytes
    note: NoteWrite
    version: int

    def carry_out(self, cursor: Cursor, now: Moment) -> Written | Note | None:
        """Writes it, or says what is there instead."""
        return Written(self.version) if self.changes(cursor, now) else _seen(cursor, self.digest, now)

    def changes(self, cursor: Cursor, now: Moment) -> bool:
        """Writes it, by one statement, if nobody else has since."""
        kept = now.plus(self.note.keep)
        values = _at(self.digest, now) | {
            "namespace": self.namespace,
            "name": shown_name(self.note.name),
            "version": self.version,
            "after": self.note.after,
            "kept_wall": kept.wall,
            "kept_mark": kept.mark,
            "note": self.note.text,
        }
        return cursor.execute(_CHANGE if self.note.after else _ADD, values).rowcount > 0


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
