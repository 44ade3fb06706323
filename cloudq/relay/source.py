"""What a relay asks of an outbox; `cloudq.outbox.reading` has it for each database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol

from cloudq.outbox.rows import Failed, OutboxRow, Parked


class Batch(Protocol):
    """Messages that nobody else takes until they are settled."""

    @property
    def rows(self) -> Sequence[OutboxRow]:
        """In the order in which those of one key are to be published."""
        ...

    @property
    def ends(self) -> timedelta:
        """Until when they are this relay's, on `Clock.elapsed`."""
        ...

    def settle(
        self,
        *,
        published: Collection[int] = (),
        failed: Sequence[Failed] = (),
        parked: Sequence[Parked] = (),
    ) -> None:
        """Writes down, in one transaction, what became of messages. Those that aren't named are free again.

        Raises:
            LeaseLost: The database had given them to others by then.
            StoreUnavailable: It may not be written.
        """
        ...


class Reader(Protocol):
    """An outbox, as one thread reads it."""

    def take(self, limit: int, without: Collection[str] = ()) -> Batch | None:
        """Takes up to `limit` messages that are due, of none of the queues `without`. `None`: there is nothing to do.

        Of a key there is none while an earlier one is parked, waits for another try, or is another reader's.

        Raises:
            StoreUnavailable: The database can't be reached.
        """
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...
