"""`RelaySettings`: a relay's settings, checked before it starts."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import msgspec

from cloudq.core.spans import shown
from cloudq.errors import ConfigurationError

ZERO: Final = timedelta(0)
# A round has to fit in it: a call of the backend that says nothing may take a third of 15 s, and is tried three times.
SHORTEST_LEASE: Final = timedelta(seconds=30)
MOST_ROWS: Final = 10_000


class RelaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a relay does, how much at once, and for how long it waits.

    Attributes:
        batch: The most messages that are taken from the outbox at once, 1 to 10,000. What was published and not yet
            marked when a relay is killed is published again: at most this many for each of `concurrency`.
        concurrency: The most batches under way at once, at least 1. More than one only while a take brings a full one.
        lease: For how long what was taken is this relay's; another one takes it after that. At least 30 s.
        poll: How soon an idle relay looks again; more than zero, at most a minute.
        listen_url: The URL of a connection to PostgreSQL itself, to be told of new messages by; `None` to poll only.
        listening_poll: How soon a relay that listens looks all the same, for messages whose time comes.
        once: Whether to end when nothing is due.
        max_time: After how long to end, as after a signal; `None` for no end. More than zero.
        grace: How long batches under way may take after the first signal to stop.
        health: Where `/healthz` and `/readyz` are served, `(host, port)`; port 0 takes a free one. `None` for nowhere.
    """

    batch: int = 500
    concurrency: int = 2
    lease: timedelta = timedelta(seconds=60)
    poll: timedelta = timedelta(milliseconds=200)
    listen_url: str | None = None
    listening_poll: timedelta = timedelta(seconds=5)
    once: bool = False
    max_time: timedelta | None = None
    grace: timedelta = timedelta(seconds=30)
    health: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        """Refuses what can't work.

        Raises:
            ConfigurationError: A number or a time is out of its range.
        """
        if not 1 <= self.batch <= MOST_ROWS:
            raise ConfigurationError(f"batch is {self.batch}: it has to be from 1 to {MOST_ROWS:,}")
        if self.concurrency < 1:
            raise ConfigurationError(f"concurrency is {self.concurrency}: at least 1 is needed")
        if self.lease < SHORTEST_LEASE:
            raise ConfigurationError(
                f"lease is {shown(self.lease)}: at least {shown(SHORTEST_LEASE)} is needed",
                hint="a batch has to be published and marked within it, also where the backend is slow",
            )
        for name in ("poll", "listening_poll"):
            if not ZERO < getattr(self, name) <= timedelta(minutes=1):
                raise ConfigurationError(
                    f"{name} is {shown(getattr(self, name))}: it has to be more than nothing, and at most a minute"
                )
        if self.max_time is not None and self.max_time <= ZERO:
            raise ConfigurationError(f"max_time is {shown(self.max_time)}: it has to be more than nothing")
        if self.grace < ZERO:
            raise ConfigurationError(
                f"grace is {shown(self.grace)}: it can't be negative", hint="0 s leaves batches under way"
            )
