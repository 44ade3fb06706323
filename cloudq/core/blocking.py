"""`Step`: what may block on the way of a delivery, for either kind of caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta


class Step:
    """What may block, for a thread and for an event loop, and how long it may take.

    Args:
        limit: How long, or `None` for as long as it likes.
        run: Does it in this thread.
        arun: Does it without blocking the loop.
    """

    __slots__ = ("arun", "limit", "run")

    def __init__(
        self, limit: timedelta | None, run: Callable[[], object], arun: Callable[[], Awaitable[object]]
    ) -> None:
        self.limit = limit
        self.run = run
        self.arun = arun
