"""`Session`: what one process has open of one file."""

from __future__ import annotations

from datetime import timedelta
from sqlite3 import Cursor
from typing import Final

from cloudq.core.clock import Clock
from cloudq.drivers.sqlite import fairness, leasing
from cloudq.drivers.sqlite.foreign_rows import LeasedRow
from cloudq.drivers.sqlite.waiting import Waiters
from cloudq.sqlite_file.boot import End, Moment, moment
from cloudq.sqlite_file.connection import Database

# Between two looks for what is seldom there: leases of other boots that are over, messages by another wall clock.
_RARE_LOOK: Final = timedelta(seconds=1)
_ZERO: Final = timedelta(0)


class Session:
    """What a process has open."""

    def __init__(self, database: Database, waiters: Waiters, clock: Clock) -> None:
        self.database = database
        self.waiters = waiters
        self._clock = clock
        self.busy: set[str] = set()  # the queues whose last receive brought all that it asked for
        self.paused: set[str] = set()  # as far as is known here: another process may have paused one a second ago
        self._next_look: dict[str, timedelta] = {}  # for what is seldom there, of each queue
        self._last_key: dict[str, str] = {}  # of the queues that hold fairness keys: whose turn was last

    def take(
        self, cursor: Cursor, *, queue: str, limit: int, span: timedelta, hidden: bool
    ) -> tuple[list[LeasedRow], End]:
        """Leases what is ready for `span`, in a write transaction; `hidden`: as `something_hidden` says."""
        now = self.now()
        if hidden:
            leasing.show_undelayed(cursor, queue, now)
        if hidden or leasing.lease_ended(leasing.look(cursor, queue, now.boot), now):
            leasing.end_leases(cursor, queue, now)
        until = now.plus(span)
        last = self._last_key.get(queue)
        if last is None:
            return leasing.take(cursor, queue, limit=limit, now=now, until=until), until
        rows, self._last_key[queue] = fairness.take(cursor, queue, limit=limit, now=now, until=until, after=last)
        return rows, until

    def something_hidden(self, queue: str, now: Moment) -> bool:
        """Whether something is ready that `look` doesn't see. That is rare, so it finds out once a second.

        And whether the queue holds fairness keys or is paused, which is rare, too: so what another process sent or said
        counts after a second at the latest.
        """
        if now.elapsed < self._next_look.get(queue, _ZERO):
            return False
        self._next_look[queue] = now.elapsed + _RARE_LOOK
        rare = self.database.read(lambda cursor: leasing.look_at_rare(cursor, queue, now))
        if rare.fair:
            self.note_fair(queue)
        else:
            self._last_key.pop(queue, None)
        self.note_paused(queue, paused=rare.paused)
        return rare.hidden

    def note_paused(self, queue: str, *, paused: bool) -> None:
        """The queue is paused, or is no more."""
        if paused:
            self.paused.add(queue)
        else:
            self.paused.discard(queue)

    def note_fair(self, queue: str) -> None:
        """The queue holds a fairness key: from now on keys have their turns."""
        self._last_key.setdefault(queue, fairness.START)

    def now(self) -> Moment:
        """By the clocks that the database goes by."""
        return moment(self._clock, self.database.boot)

    def close(self) -> None:
        """Ends the waits, then closes the file; in a child process it does nothing."""
        if self.database.inherited:
            return
        self.waiters.close()
        self.database.close()
