"""The reading half of the outbox: what a relay takes, and what it says became of it.

```
 server   take: BEGIN, rows locked ─▶ published ─▶ settle: rows deleted, COMMIT     killed here: the server unlocks them
 SQLite   take: the outbox is held ─▶ published ─▶ settle: rows deleted             killed here: until its lease ends
```
On a server rows stay locked in the transaction of the relay's own connection while it publishes: nothing is written to
take them, other relays pass them over (SKIP LOCKED), and what a dead relay had is free as soon as the server notices.
The server by itself ends a transaction that stands still for longer than the lease. SQLite has no locks of rows, and
its one writer must not be held up: so the relay that reads is written down, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Final, Protocol, TypeVar

from cloudq.core.clock import Clock
from cloudq.outbox.rows import Failed, OutboxRow, OutboxStatus, Parked, ParkedRow
from cloudq.outbox.settling import Settling
from cloudq.outbox.taking import Taking, Turn
from cloudq.user_database import Dialect, Script

__all__ = [
    "Batch",
    "Failed",
    "Outbox",
    "OutboxReader",
    "OutboxRow",
    "OutboxStatus",
    "Parked",
    "ParkedRow",
]

T = TypeVar("T")

LARGEST_ID: Final = 2**63 - 1
"""The databases' ids are integers of 64 bits."""


class Outbox(Protocol):
    """A database with an outbox, as one thread uses it."""

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks."""
        ...

    def look(self, script: Script[T]) -> T:
        """Carries a script out in a transaction of its own, and commits it.

        Raises:
            StoreUnavailable: It may not be carried out.
            SchemaMismatch: A table isn't there.
        """
        ...

    def begin(self, taking: Callable[[], Script[Sequence[OutboxRow]]]) -> Sequence[OutboxRow]:
        """Carries out what takes rows. They are the caller's until `end`, or until the lease ends.

        Raises:
            StoreUnavailable: Nothing was taken.
        """
        ...

    def end(self, script: Script[None] | None) -> None:
        """Carries out what settles them, all or nothing. `None`: nothing became of them. Then all are free.

        Raises:
            LeaseLost: They were somebody else's by then. Nothing was written.
            StoreUnavailable: It may not be written.
        """
        ...

    def close(self) -> None:
        """Ends what is under way, and closes the connection."""
        ...


class Batch:
    """Messages that nobody else is given until they are settled.

    Attributes:
        rows: In the order in which those of one key are to be published. Once one of a key can't be, none of its later
            ones may be.
        ends: Until when they are this reader's, on `Clock.elapsed`. Nothing may be published after it.
    """

    def __init__(
        self,
        rows: Sequence[OutboxRow],
        ends: timedelta,
        settling: Settling,
        end: Callable[[Script[None] | None], None],
    ) -> None:
        self.rows = rows
        self.ends = ends
        self._settling = settling
        self._end = end

    def __repr__(self) -> str:
        """How many there are."""
        return f"Batch({len(self.rows)} rows)"

    def settle(
        self, *, published: Collection[int] = (), failed: Sequence[Failed] = (), parked: Sequence[Parked] = ()
    ) -> None:
        """Writes down, in one transaction, what became of messages. Those that aren't named are free again.

        Args:
            published: The ids of those that the backend has stored. They are deleted.
            failed: Those that are tried again later.
            parked: Those that wait for a person.

        Raises:
            LeaseLost: The database had given them to others by then. Nothing was written.
            StoreUnavailable: It may not be written: what was published may be published again.
        """
        self._end(self._settling.settle(published, failed, parked))

    def give_back(self) -> None:
        """Nothing became of them, and others may have them.

        Raises:
            StoreUnavailable: They are free once the lease ends.
        """
        self._end(None)


class OutboxReader:
    """An outbox, as one thread of a relay reads it: one batch after the other. Obtained by `open_outbox`.

    Args:
        outbox: The database.
        namespace: Whose rows.
        lease: For how long a batch is the reader's.
        clock: Where the time comes from.
    """

    def __init__(self, outbox: Outbox, namespace: str, *, lease: timedelta, clock: Clock) -> None:
        self._outbox = outbox
        self._lease = lease
        self._clock = clock
        self._taking = Taking(outbox.dialect, namespace, locks=outbox.dialect is not Dialect.SQLITE)
        self._settling = Settling(outbox.dialect, namespace)
        self._turn = Turn()
        self.namespace = namespace

    def take(self, limit: int, without: Collection[str] = ()) -> Batch | None:
        """Takes up to `limit` messages that are due, of none of the queues `without`.

        Of a key there is none while an earlier one is parked, waits for another try, or is another reader's.

        Returns:
            `None` if there is nothing to do at the moment.

        Raises:
            StoreUnavailable: The database can't be reached. Nothing was taken.
        """
        ends = self._clock.elapsed() + self._lease  # before the database counts, which is on the safe side
        rows = self._outbox.begin(lambda: self._taking.take(limit, without, self._turn))
        if not rows:
            return None
        return Batch(rows, ends, self._settling, self._outbox.end)

    def status(self) -> list[OutboxStatus]:
        """How each namespace stands that has rows; the reader's own first, whether it has any or not.

        Raises:
            StoreUnavailable: The database can't be reached.
        """
        return self._outbox.look(self._settling.status())

    def parked(self, limit: int, after: int = 0) -> list[ParkedRow]:
        """Up to `limit` parked messages of the namespace in the order of their ids, from behind the id `after`.

        Raises:
            StoreUnavailable: The database can't be reached.
        """
        return self._outbox.look(self._settling.parked(min(limit, LARGEST_ID), after))

    def retry(self, ids: Collection[int] | None = None) -> int:
        """Makes parked messages due again, with no failure counted: those of `ids`, or all of the namespace.

        Returns:
            How many there were.

        Raises:
            StoreUnavailable: It may not be done.
        """
        return self._outbox.look(self._settling.retry(None if ids is None else _possible(ids)))

    def skip(self, ids: Collection[int]) -> int:
        """Deletes parked messages, so that what waits behind them goes on. They are never published.

        Returns:
            How many there were: one that isn't parked stays.

        Raises:
            StoreUnavailable: It may not be done.
        """
        return self._outbox.look(self._settling.skip(_possible(ids)))

    def close(self) -> None:
        """Closes the connection. What was taken and not settled is free."""
        self._outbox.close()


def _possible(ids: Collection[int]) -> list[int]:
    """Those that a row may have: of a larger one a driver raises an error of its own."""
    return [id_ for id_ in ids if 0 < id_ <= LARGEST_ID]
