"""How a queue is set up on its service, as data: what a driver reads there, or a Terraform plan says of it."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec


class QueueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one queue, a dead-letter queue being one too. What its service doesn't have, or say, is `None`.

    Attributes:
        name: Its name on the service.
        resource: Its full name there, where that is another one: an ARN.
        stopped: The service's word for a queue that hands over, or takes, nothing: `paused`, `ReceiveDisabled`.
        ordered: Whether it keeps an order: a FIFO queue, one with sessions.
        lease: How long a message is leased for, if a receive doesn't say.
        max_deliveries: How often a message is handed over before the service gives it up.
        gives_up_after: For how long the service tries before it gives a message up; nothing is without end.
        dead_letters_to: The name of the queue that the service itself moves a dead letter to; `None`: to none. Unset
            where the service has a place of its own for them, or it isn't known.
        dead_letters_from: The names of the queues whose dead letters the service may move here; `None`: all.
        retention: How long a message is kept that nobody settles; `None` also where that is without end.
        keeps_expired: Whether a message whose time is over becomes a dead letter, and isn't deleted.
        max_message: The most bytes of a message, its attributes included.
        delay: How long each new message is held back.
        encrypted: Whether messages are encrypted where they are stored.
        remembers: For how long the ids of messages are known again; nothing: they aren't.
        max_backoff: The longest time between two pushes of a message that failed.
        max_concurrent: How many pushes are under way at most.
        forwards_to: Where all its messages are passed on to.
        deleted_when_idle: After how long without use the service deletes the queue itself.
        pushes_to: The host that its messages are pushed to, whatever they say themselves.
        ahead: How far this machine's clock was ahead of the service's as that told this; negative: behind.
    """

    name: str
    resource: str | None = None
    stopped: str | None = None
    ordered: bool | None = None

    lease: timedelta | None = None
    max_deliveries: int | None = None
    gives_up_after: timedelta = timedelta(0)
    dead_letters_to: str | msgspec.UnsetType | None = msgspec.UNSET
    dead_letters_from: tuple[str, ...] | None = None

    retention: timedelta | None = None
    keeps_expired: bool | None = None
    max_message: int | None = None
    delay: timedelta = timedelta(0)
    encrypted: bool | None = None
    remembers: timedelta | None = None

    max_backoff: timedelta | None = None
    max_concurrent: int | None = None

    forwards_to: str | None = None
    deleted_when_idle: timedelta | None = None
    pushes_to: str | None = None

    ahead: timedelta | None = None


def ahead_of(date: str | None, now: datetime) -> timedelta | None:
    """How far a clock that says `now` is ahead of the `Date` of an HTTP answer; `None` without one that can be read."""
    from email.utils import parsedate_to_datetime  # only who looks at settings needs it

    try:
        return None if date is None else now - parsedate_to_datetime(date)
    except (ValueError, TypeError):  # no date, or one without a zone
        return None
