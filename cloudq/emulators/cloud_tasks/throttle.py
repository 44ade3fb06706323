"""What a 429 or 503 does to the whole queue. Pure: the time is an argument.

The service says that it uses "a higher backoff rate" then and that `Retry-After` "is considered", and no figures. These
are the emulator's own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cloudq.emulators.cloud_tasks.messages import ZERO

STATUSES: Final = frozenset({429, 503})
STRICT_STEP: Final = timedelta(seconds=1)
STRICT_MOST: Final = timedelta(minutes=1)
RELAXED_STEP: Final = timedelta(milliseconds=10)
RELAXED_MOST: Final = timedelta(seconds=1)
MOST_RETRY_AFTER: Final = timedelta(hours=1)


class Throttle:
    """A pause in a queue's dispatches, which doubles while the worker goes on refusing.

    Args:
        step: The first pause.
        most: The longest, unless the worker asks for more.
    """

    __slots__ = ("_began", "_most", "_pause", "_step", "until")

    def __init__(self, step: timedelta = STRICT_STEP, most: timedelta = STRICT_MOST) -> None:
        self._step = step
        self._most = most
        self._pause = ZERO
        self._began: datetime | None = None
        self.until: datetime | None = None

    def refused(self, now: datetime, dispatched: datetime, retry_after: timedelta | None) -> None:
        """The worker answered 429 or 503.

        Args:
            now: The present moment.
            dispatched: When that attempt began. One from before the present pause doesn't double it: a hundred attempts
                that are refused together are one refusal.
            retry_after: What the worker asked for.
        """
        if self._began is None or dispatched >= self._began:
            self._pause = min(self._pause * 2, self._most) if self._pause else self._step
            self._began = now
        pause = self._pause if retry_after is None else min(max(retry_after, ZERO), MOST_RETRY_AFTER)
        end = now + pause
        if self.until is None or end > self.until:
            self.until = end

    def accepted(self, dispatched: datetime) -> None:
        """The worker answered a later attempt with a success: the next refusal begins anew."""
        if self._began is not None and dispatched >= self._began:
            self._pause = ZERO
            self._began = None

    def held_until(self, now: datetime) -> datetime | None:
        """The end of the present pause, or `None` if there is none."""
        return self.until if self.until is not None and self.until > now else None
