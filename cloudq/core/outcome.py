"""`Outcome`: what became of a delivery. A value that is returned, never a method that is called."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

import msgspec

from cloudq.core.failure import Failure


class Acked(msgspec.Struct, frozen=True, kw_only=True):
    """Done: the message is to be deleted."""


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """To be handed over again.

    Attributes:
        delay: Not before this long from now.
        reason: Why, for a person.
        counted: Whether this delivery used up an attempt. Waiting for its time or for somebody else's claim doesn't.
        failure: What went wrong, or `None` where nothing did.
    """

    delay: timedelta
    reason: str
    counted: bool = True
    failure: Failure | None = None


class DeadLettered(msgspec.Struct, frozen=True, kw_only=True):
    """To be kept in the dead-letter queue.

    Attributes:
        reason: Why, for a person.
        failure: The details that are kept with it.
    """

    reason: str
    failure: Failure


Outcome: TypeAlias = Acked | Retried | DeadLettered

ACKED = Acked()
