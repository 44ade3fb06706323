"""How long messages live."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

_SECOND: Final = timedelta(seconds=1)


def in_force(own: timedelta | None, *others: timedelta | None) -> timedelta | None:
    """The shortest time to live of the message's own, cut to whole seconds, and those of entities; `None`: no end."""
    if own is not None:
        own = max(_SECOND, timedelta(seconds=own // _SECOND))
    return min((value for value in (own, *others) if value is not None), default=None)


def end(start: datetime, time_to_live: timedelta | None) -> datetime | None:
    """When it ends; AMQP's largest time to live may end beyond what a date can be."""
    if time_to_live is None:
        return None
    try:
        return start + time_to_live
    except OverflowError:
        return None
