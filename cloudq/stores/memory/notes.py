"""`MemoryNotes`: notes in a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from cloudq.core.clock import Clock
from cloudq.core.notes import Note, NoteWrite, Written, new_version


class _Kept(NamedTuple):
    text: bytes
    version: int
    at: datetime
    written: timedelta
    kept_until: timedelta


class MemoryNotes:
    """Keeps notes for as long as the process lives. Thread-safe.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._notes: dict[str, _Kept] = {}

    def read(self, name: str) -> Note | None:
        """What is there."""
        with self._lock:
            return self._seen(name, self._clock.elapsed())

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        """Writes the note if the latest one is that of version `after`."""
        del durable  # nothing is, here
        with self._lock:
            return self._written(name, text, after, keep)

    def write_together(self, writes: Sequence[NoteWrite]) -> Sequence[Written | Note | None]:
        """Makes these writes, with nothing between."""
        with self._lock:
            return [self._written(write.name, write.text, write.after, write.keep) for write in writes]

    def sweep(self, limit: int) -> int:
        """Removes up to `limit` notes that were kept for long enough."""
        with self._lock:
            now = self._clock.elapsed()
            over = [name for name, kept in self._notes.items() if now >= kept.kept_until][:limit]
            for name in over:
                del self._notes[name]
            return len(over)

    def _written(self, name: str, text: bytes, after: int, keep: timedelta) -> Written | Note | None:
        now = self._clock.elapsed()
        seen = self._seen(name, now)
        if (seen.version if seen else 0) != after:
            return seen
        version = new_version()
        self._notes[name] = _Kept(text, version, self._clock.now(), now, now + keep)
        return Written(version)

    def _seen(self, name: str, now: timedelta) -> Note | None:
        kept = self._notes.get(name)
        if kept is None or now >= kept.kept_until:
            return None
        return Note(
            text=kept.text, version=kept.version, at=kept.at, age=now - kept.written, left=kept.kept_until - now
        )
