"""`OldQueue`: what the bridge asks of the place where Celery's messages are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import msgspec


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One message that was found.

    Attributes:
        raw: Its bytes as kombu stored them; `None` where it has more than are looked at.
        size: How many bytes it has.
        place: Where it was, for people: the queue, a priority's list, `unacked`.
        handle: The old queue's own.
        group: What an ordered queue keeps it in order by; `None` in any other.
        astray: For people, why nobody knows whose it is; `None`: it is this queue's.
    """

    raw: bytes | None
    size: int
    place: str
    handle: object
    group: str | None = None
    astray: str | None = None

    def __repr__(self) -> str:
        """Without the bytes, which may hold what no log should."""
        return f"Found(place={self.place!r}, size={self.size})"


class OldQueue(Protocol):
    """A queue of Celery's, whose workers have been stopped. For one thread.

    Every message that `read` gave is to be given to `take` or to `leave`, before the next `read`.
    """

    def waiting(self) -> int | None:
        """About how many messages are there, where that is known."""
        ...

    def read(self, wait: timedelta) -> Sequence[Found]:
        """Some messages that weren't found before, in their order; none of them is taken out.

        Args:
            wait: How long to wait for the first, where the service can be asked to.

        Raises:
            CloudqError: The queue can't be read.
        """
        ...

    def take(self, found: Sequence[Found]) -> None:
        """Takes messages out. One that is gone already is as good.

        Raises:
            CloudqError: Some may still be there.
        """
        ...

    def leave(self, found: Sequence[Found]) -> None:
        """Leaves messages where they are, and doesn't find them again."""
        ...

    def held_back(self) -> int:
        """About how many messages can't be read while those that were left are there: they are behind them, in order.

        Raises:
            CloudqError: The queue can't be asked.
        """
        ...

    def close(self) -> None:
        """Gives back to everybody what was left."""
        ...
