"""`Outcome`: what became of a delivery. A value that is returned, never a method that is called."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import ClassVar, TypeAlias

import msgspec

from cloudq.core.ending import Ending
from cloudq.core.failure import Failure


class Acked(msgspec.Struct, frozen=True, kw_only=True):
    """Done: the message is to be deleted.

    Attributes:
        ending: Why nothing is left to do: its task succeeded, it is a duplicate, has expired, or was cancelled.
    """

    ending: Ending = Ending.SUCCEEDED


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """To be handed over again.

    Attributes:
        delay: Not before this long from now.
        reason: Why, for a person.
        counted: Whether this delivery used up an attempt. What only waits doesn't: see `Snoozed`, which also says why.
        failure: What went wrong, or `None` where nothing did.
    """

    delay: timedelta
    reason: str
    counted: bool = True
    failure: Failure | None = None


class Why(Enum):
    """What a message waits for that is snoozed."""

    CLAIMED = "claim in progress"
    """Another delivery of its idempotency key is at work."""
    STORE_DOWN = "store down"
    """The store of idempotency keys can't be reached, is full, or refuses."""
    PAYLOAD = "payload unavailable"
    """The store of its payload can't be reached."""
    CONFLICT = "transaction conflict"
    """The user's database ended its transaction for another one's sake."""
    UNKNOWN_TASK = "unknown task"
    """This program doesn't know its task; another one may."""
    NOT_DUE = "not due"
    """Its time hasn't come."""
    UNSTARTED = "not started"
    """It was handed over and can't be started here now: nobody is free, or an earlier run of it still goes on."""
    NO_LOOP = "no event loop"
    """Its task needs an event loop, and this process can't make one: no thread or file is left, or a policy raised."""
    LIMITED = "limit reached"
    """As many as may of its task, its queue or its key have started, or run."""
    OTHER = "other"
    """A middleware's reason."""


class Snoozed(msgspec.Struct, frozen=True, kw_only=True):
    """To be handed over again later, as something that isn't the message's fault keeps it from running now.

    It uses up no attempt. How long a message may wait for the same thing is bounded by time, never by number: then it
    is dead-lettered.

    Attributes:
        delay: Not before this long from now.
        why: What it waits for.
        reason: The same for a person.
        failure: What is kept beside the message of its waiting, or `None`: the Processor fills it in.
    """

    delay: timedelta
    why: Why = Why.OTHER
    reason: str
    failure: Failure | None = None
    counted: ClassVar[bool] = False


class DeadLettered(msgspec.Struct, frozen=True, kw_only=True):
    """To be kept in the dead-letter queue.

    Attributes:
        reason: Why, for a person.
        failure: The details that are kept with it.
    """

    reason: str
    failure: Failure


class Expired(Acked, frozen=True, kw_only=True):
    """Acknowledged without a run: it was of use until a time that is over, and hadn't begun.

    Attributes:
        reason: Since when, for a person.
    """

    ending: Ending = Ending.EXPIRED
    reason: str


Outcome: TypeAlias = Acked | Retried | Snoozed | DeadLettered

OUTCOMES = (Acked, Retried, Snoozed, DeadLettered)
"""The types of all outcomes, for `isinstance`."""

ACKED = Acked()
DUPLICATE = Acked(ending=Ending.DUPLICATE)
CANCELLED = Acked(ending=Ending.CANCELLED)


def ending_of(outcome: Outcome) -> Ending:
    """The word for an outcome. What is handed over again without having used an attempt only waits."""
    if isinstance(outcome, Acked):
        return outcome.ending
    if isinstance(outcome, DeadLettered):
        return Ending.DEAD_LETTERED
    return Ending.RETRIED if outcome.counted else Ending.SNOOZED


class Decided(Exception):
    """Raised in a task by code of this library that knows what becomes of the delivery, whatever the policy says.

    Args:
        outcome: What becomes of it.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome
