"""A time limit in two stages: an error that the task may catch and act on, and later the end of its run.

The end is raised as no `Exception`, so that a task which goes on after whatever went wrong doesn't go on after this. To
those outside of the run it is a `TimeLimitExceeded` like any other.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Protocol, runtime_checkable

from cloudq.core.shield import Interrupter, interrupter
from cloudq.errors import TimeLimitExceeded


@runtime_checkable
class Staged(Interrupter, Protocol):
    """A guarded block whose time limit can have an earlier stage, and an end that insists."""

    def insist(self) -> None:
        """Has the end be raised as `Ended`."""
        ...

    def end_after(self, limit: timedelta) -> None:
        """Has the end come that long from now, if that is sooner."""
        ...

    def warn_after(self, limit: timedelta) -> AbstractContextManager[None]:
        """Raises `TimeLimitExceeded`, once, in the block within, that long from its beginning."""
        ...


def insist(limit: timedelta) -> None:
    """Has the time limit of the run that this is called in end it for good. Where it has none, nothing happens.

    Args:
        limit: It ends after this long, counted from now, if that is sooner than by its own limit.
    """
    guard = interrupter()
    if isinstance(guard, Staged):
        guard.insist()
        guard.end_after(limit)


def sooner(limit: timedelta) -> None:
    """Has the time limit of the run that this is called in be that long, counted from now, if that is sooner."""
    guard = interrupter()
    if isinstance(guard, Staged):
        guard.end_after(limit)


def warned_after(limit: timedelta | None) -> AbstractContextManager[None]:
    """Raises `TimeLimitExceeded`, once, in the block if it takes longer than that; the run's own limit goes on.

    Args:
        limit: How long the block may take; `None` for as long as the run may. Where the run has no time limit of its
            own, nothing is raised.
    """
    guard = interrupter()
    return guard.warn_after(limit) if limit is not None and isinstance(guard, Staged) else nullcontext()


def exceeded(limit: timedelta) -> TimeLimitExceeded:
    """What those outside of the run learn."""
    return TimeLimitExceeded(f"the task ran longer than its time limit of {limit}")


def soft_exceeded(limit: timedelta) -> TimeLimitExceeded:
    """What the task learns at the first of two limits."""
    return TimeLimitExceeded(f"the task ran longer than its soft time limit of {limit}")
