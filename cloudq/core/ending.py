"""`Ending`: in one word, how one handing-over of a message ended.

The word is the same in log lines, metrics, spans, the counts of a worker, health pages and results, so that what is
found in one of them is searched for in the others.
"""

from __future__ import annotations

from enum import StrEnum


class Ending(StrEnum):
    """How a delivery ended. Its value is the word."""

    SUCCEEDED = "succeeded"
    """Its task returned, or a middleware said that nothing is left to do."""
    RETRIED = "retried"
    """It failed, which used an attempt, and is handed over again."""
    SNOOZED = "snoozed"
    """It only waits: no attempt was used."""
    DEAD_LETTERED = "dead_lettered"
    """It is kept in the dead-letter queue."""
    EXPIRED = "expired"
    """Nobody needs it any more: its time was over before its task began."""
    DUPLICATE = "duplicate"
    """Its work was done before, by itself or by another message of its key: it was acknowledged unrun."""
    CANCELLED = "cancelled"
    """Somebody cancelled it: it was acknowledged without having succeeded."""
    LEASE_LOST = "lease_lost"
    """Its lease was over before its end was recorded: the end counts for nothing, and it is handed over again."""
    RELEASED = "released"
    """It was given back unfinished, mostly unstarted: the worker stops, or has no room for it."""
