"""What a relay is given of the outbox, and what it says of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is to be published.

    Attributes:
        id: Its number in the table.
        queue: The queue it is for.
        task: Its task's name.
        body: Its bytes, as a send would store them.
        ordering_key: Its ordering key, if it has one.
        attempts: How often publishing it has failed.
        created_at: When it was sent, by the database's clock; for show.
    """

    id: int
    queue: str
    task: str
    body: bytes
    ordering_key: str | None
    attempts: int
    created_at: datetime


class Failed(msgspec.Struct, frozen=True):
    """A message that couldn't be published, and may be later.

    Attributes:
        id: Of its row.
        why: For people; its first 2,000 characters are kept.
        again_in: When it is tried again, from now. Later messages of its key wait for it.
    """

    id: int
    why: str
    again_in: timedelta


class Parked(msgspec.Struct, frozen=True):
    """A message that can't be published until somebody looks at it.

    Attributes:
        id: Of its row.
        why: For people; its first 2,000 characters are kept.
    """

    id: int
    why: str


class ParkedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message that waits for a person. It holds back the later ones of its ordering key, and nothing else.

    Attributes:
        id: Of its row.
        queue: The queue it is for.
        task: Its task's name.
        ordering_key: Its ordering key, if it has one.
        attempts: How often publishing it has failed.
        why: What was said when it was parked.
        created_at: When it was sent.
        parked_at: When it was parked. Both are times of the database's clock.
        behind: How many messages wait behind it.
    """

    id: int
    queue: str
    task: str
    ordering_key: str | None
    attempts: int
    why: str
    created_at: datetime
    parked_at: datetime
    behind: int


class OutboxStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How an outbox stands: what is committed and not yet published.

    Attributes:
        namespace: Whose.
        waiting: How many messages are to be published, all but the parked.
        failing: How many of them have failed before.
        parked: How many wait for a person.
        held_back: How many of the waiting are behind a parked one of their ordering key.
        oldest: The age of the oldest that isn't parked or held back, the outbox's lag; `None` if there is none.
    """

    namespace: str
    waiting: int = 0
    failing: int = 0
    parked: int = 0
    held_back: int = 0
    oldest: timedelta | None = None
