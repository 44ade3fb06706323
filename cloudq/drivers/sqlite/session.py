"""`Session`: what one process has open of one file."""

from __future__ import annotations

from datetime import timedelta
from sqlite3 import Cursor
from typing import Final

from cloudq.core.clock import Clock
from cloudq.drivers.sqlite import leasing
from cloudq.drivers.sqlite.boot import End, Moment, moment
from cloudq.drivers.sqlite.connection import Database
from cloudq.drivers.sqlite.waiting import Waiters

# Between two looks for leases of other boots that are over.
_FOREIGN_LOOK: Final = timedelta(seconds=1)
_ZERO: Final = timedelta(0)


class Session:
    """What a process has open."""

    def __init__(self, database: Database, waiters: Waiters, clock: Clock) -> None:
        self.database = database
        self.waiters = waiters
        self._clock = clock
        self.busy: set[str] = set()  # the queues whose last receive brought all that it asked for
        self._next_look: dict[str, timedelta] = {}  # for leases of other boots, of each queue

    def take(
        self, cursor: Cursor, *, queue: str, limit: int, span: timedelta, foreign: bool
    ) -> tuple[list[leasing.LeasedRow], End]:
        """Leases what is ready for `span`, in a write transaction; `foreign`: a lease of another boot is over."""
        now = self.now()
        if foreign or leasing.lease_ended(leasing.look(cursor, queue, now.boot), now):
            leasing.end_leases(cursor, queue, now)
        until = now.plus(span)
        return leasing.take(cursor, queue, limit=limit, now=now, until=until), until

    def foreign_lease_ended(self, queue: str, now: Moment) -> bool:
        """Whether a lease of another boot is over. Such leases are rare, so it looks once a second."""
        if now.elapsed < self._next_look.get(queue, _ZERO):
            return False
        self._next_look[queue] = now.elapsed + _FOREIGN_LOOK
        end = self.database.read(lambda cursor: leasing.foreign_leases_end(cursor, queue, self.database.boot))
        return end is not None and end <= now.wall

    def now(self) -> Moment:
        """By the clocks that the database goes by."""
        return moment(self._clock, self.database.boot)

    def close(self) -> None:
        """Ends the waits, then closes the file; in a child process it does nothing."""
        if self.database.inherited:
            return
        self.waiters.close()
        self.database.close()
