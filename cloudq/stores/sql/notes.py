"""`SqlNotes`: notes in a table of their own. A write is one statement; one that is refused is followed by a look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from cloudq.core.clock import from_micros
from cloudq.core.notes import Note, Written, new_version, note_digest, shown_name
from cloudq.stores.sql.dialect import NOTES, Dialect

_MICROSECOND: Final = timedelta(microseconds=1)

Repeated = Callable[[Callable[[Connection], Any]], Any]
"""Runs a call that may be made again, on a connection of its own, and translates what it fails with."""


class SqlNotes:
    """Notes of one namespace.

    Args:
        namespace: Keeps the notes of apps apart that share a server.
        dialect: The server's words.
        repeated: How a call gets its connection.
    """

    def __init__(self, namespace: str, dialect: Dialect, repeated: Repeated) -> None:
        self._namespace = namespace
        self._dialect = dialect
        self._repeated = repeated

    def read(self, name: str) -> Note | None:
        """What is there."""
        digest = note_digest(self._namespace, name)
        note: Note | None = self._repeated(lambda connection: self._seen(connection, digest))
        return note

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        """Writes the note if the latest one is that of version `after`."""
        del durable  # as the server is set up, each commit is
        version, digest = new_version(), note_digest(self._namespace, name)
        values = {
            "digest": digest,
            "namespace": self._namespace,
            "name": shown_name(name),
            "version": version,
            "after": after,
            "note": text,
            "keep": keep // _MICROSECOND,
        }

        def write(connection: Connection) -> Written | Note | None:
            done = self._change(connection, values) if after else self._add(connection, values)
            if done:
                return Written(version)
            seen = self._seen(connection, digest)
            # Its own: the answer to an earlier try was lost.
            return Written(version) if seen is not None and seen.version == version else seen

        said: Written | Note | None = self._repeated(write)
        return said

    def sweep(self, limit: int) -> int:
        """Removes up to `limit` notes that were kept for long enough, of all namespaces."""
        over = f"kept_until <= {self._dialect.now}"

        def sweep(connection: Connection) -> int:
            found = connection.execute(
                text(f"select digest from {NOTES} where {over} order by kept_until limit :limit"), {"limit": limit}
            ).all()
            remove = text(f"delete from {NOTES} where digest = :digest and {over}")
            return sum(connection.execute(remove, {"digest": bytes(row[0])}).rowcount for row in found)

        removed: int = self._repeated(sweep) if limit > 0 else 0
        return removed

    def _seen(self, connection: Connection, digest: bytes) -> Note | None:
        row = connection.execute(
            text(f"select {self._dialect.now}, version, note, written_at, kept_until from {NOTES} where digest = :d"),
            {"d": digest},
        ).one_or_none()
        if row is None or int(row[0]) >= int(row[4]):
            return None
        now, version, note, written, kept = row
        return Note(
            text=bytes(note),
            version=int(version),
            at=from_micros(int(written)),
            age=max(0, int(now) - int(written)) * _MICROSECOND,
            left=(int(kept) - int(now)) * _MICROSECOND,
        )

    def _change(self, connection: Connection, values: dict[str, Any]) -> bool:
        return self._update(connection, values, f"version = :after and kept_until > {self._dialect.now}")

    def _add(self, connection: Connection, values: dict[str, Any]) -> bool:
        """Where nothing is, or what was kept for long enough."""
        try:
            added = connection.execute(text(self._dialect.add_note()), values)
        except IntegrityError:
            return self._update(connection, values, f"kept_until <= {self._dialect.now}")
        return bool(added.rowcount)

    def _update(self, connection: Connection, values: dict[str, Any], condition: str) -> bool:
        now = self._dialect.now
        changed = connection.execute(
            text(
                f"""update {NOTES} set version = :version, written_at = {now}, kept_until = {now} + :keep, note = :note
                     where digest = :digest and {condition} and {self._dialect.waits}"""
            ),
            values,
        )
        return bool(changed.rowcount)
