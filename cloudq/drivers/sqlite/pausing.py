"""`Pausing`: the side of the driver that pauses queues. In the file: all its users see that, without a store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from cloudq.core.clock import Clock, to_micros
from cloudq.errors import QueuePaused

if TYPE_CHECKING:
    import sqlite3

    from cloudq.drivers.sqlite.session import Session

_PAUSE: Final = "INSERT INTO paused(queue, since) VALUES (?, ?) ON CONFLICT DO NOTHING"
_RESUME: Final = "DELETE FROM paused WHERE queue = ?"
_IS_PAUSED: Final = "SELECT EXISTS (SELECT 1 FROM paused WHERE queue = ?)"


class Pausing:
    """Pauses queues of a file."""

    _clock: Clock

    def pause(self, queue: str) -> bool:
        """Noted in the file; other processes see it within a second."""
        now = to_micros(self._clock.now())
        return self._note(queue, partial(_changed, _PAUSE, (queue, now)), paused=True)

    def resume(self, queue: str) -> bool:
        """As `pause`."""
        return self._note(queue, partial(_changed, _RESUME, (queue,)), paused=False)

    def is_paused(self, queue: str) -> bool:
        """As the file says."""
        return self._current().database.read(lambda cursor: bool(cursor.execute(_IS_PAUSED, (queue,)).fetchone()[0]))

    def _note(self, queue: str, change: partial[bool], *, paused: bool) -> bool:
        session = self._current()
        news = session.database.write(change, durable=True)
        session.note_paused(queue, paused=paused)
        session.waiters.notify()
        return news

    def _current(self) -> Session:
        raise NotImplementedError


def paused(queue: str) -> QueuePaused:
    """What a receive is refused with."""
    return QueuePaused(f"queue {queue!r} is paused", hint=f"cloudq resume {queue}")


def _changed(statement: str, values: tuple[str | int, ...], cursor: sqlite3.Cursor) -> bool:
    return cursor.execute(statement, values).rowcount == 1
