"""What can be looked at in a queue without taking it: counts, and dead letters."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import msgspec

from cloudq.core.failure import Failure
from cloudq.core.message import Message


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """How full a queue is. `None` where the backend doesn't say.

    Attributes:
        ready: Messages that a receive could return, or that wait only for an earlier one of their ordering key; and, of
            a backend that doesn't tell them apart and so says no `in_flight`, those under a lease.
        delayed: Messages whose time hasn't come.
        in_flight: Messages under a lease.
        dead: Messages in the dead-letter queue.
        oldest_age: How long the oldest ready message has been ready.
    """

    ready: int | None = None
    delayed: int | None = None
    in_flight: int | None = None
    dead: int | None = None
    oldest_age: timedelta | None = None


class DeadMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter, looked at without being taken.

    Attributes:
        key: The backend's name of it, which `DeadLetterQueue` takes; also the place to list on from.
        id: The message's id, or the backend's own where the body can't be decoded.
        queue: The queue that it died in.
        body: The original bytes.
        message: What the body says, or `None` where it can't be decoded.
        failure: Why it is here, or `None` where the backend put it here by itself.
        dead_at: Since when it is here, or `None` where the backend doesn't say.
        group: The ordering key in force, where the backend keeps it beside the body.
    """

    key: str
    id: str
    queue: str
    body: bytes
    message: Message | None
    failure: Failure | None
    dead_at: datetime | None = None
    group: str | None = None

    @property
    def died_at(self) -> datetime | None:
        """When it died, as far as that is known: else when it failed last, or when it was sent."""
        if self.dead_at is not None:
            return self.dead_at
        if self.failure is not None and self.failure.last_at is not None:
            return self.failure.last_at
        return self.message.sent_at if self.message is not None else None


@runtime_checkable
class AgeTeller(Protocol):
    """An optional part of a driver whose `stats` don't say how old a queue's oldest message is: by another call."""

    def oldest_age(self, queue: str) -> timedelta | None:
        """How old the oldest message is that isn't delayed; `None`: there is none, or it can't be told.

        Raises:
            BackendError: It couldn't be asked.
        """
        ...
