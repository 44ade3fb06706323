"""`StoreWatch`: whether the store of idempotency keys is down, and when it is asked again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger

logger = SafeLogger("cloudq")

FIRST_PAUSE: Final = timedelta(seconds=1)
LONGEST_PAUSE: Final = timedelta(seconds=15)
_MOST_OUTAGES: Final = 100


class StoreWatch:
    """While a store is down, few ask it: else each delivery would wait for the end of its own call. Thread-safe.

    Args:
        reachable: Asks the store whether it answers.
        clock: Where the time comes from.
    """

    def __init__(self, reachable: Callable[[], bool], clock: Clock) -> None:
        self._reachable = reachable
        self._clock = clock
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._why: str | None = None
        self._since = timedelta(0)
        self._pause = FIRST_PAUSE
        self._ask_at = timedelta(0)
        self._went_down: datetime | None = None
        self._outages: deque[tuple[datetime, datetime]] = deque(maxlen=_MOST_OUTAGES)

    @property
    def why(self) -> str | None:
        """Why it is taken to be down; `None` if it isn't."""
        return self._why

    @property
    def is_down(self) -> bool:
        """Whether it is taken to be down."""
        return self._why is not None

    def note_down(self, why: str) -> None:
        """A call failed."""
        with self._lock:
            now = self._clock.elapsed()
            first, self._why = self._why is None, why
            if first:
                self._since, self._pause = now, FIRST_PAUSE
                self._went_down = self._clock.now()
            else:
                self._pause = min(LONGEST_PAUSE, self._pause * 2)
            self._ask_at = now + self._pause
        if first:
            logger.error("the store of idempotency keys is down, so what needs it waits: %s", why)

    def note_up(self) -> None:
        """A call was answered."""
        if self._why is None:  # as nearly always
            return
        with self._lock:
            was, self._why = self._why, None
            if self._went_down is not None:
                self._outages.append((self._went_down, self._clock.now()))
                self._went_down = None
            lasted = self._clock.elapsed() - self._since
        if was is not None:
            logger.info("the store of idempotency keys answers again, after %.0f s", lasted.total_seconds())

    def lasted_since(self, moment: datetime) -> timedelta:
        """For how long it was down since then, as far as is remembered: what was sent then may have waited for it.

        Not all of that says so beside it: a worker leaves messages in their queue meanwhile.
        """
        if not self._outages:  # as nearly always
            return timedelta(0)
        with self._lock:
            outages = list(self._outages)
        return sum((max(timedelta(0), end - max(begin, moment)) for begin, end in outages), timedelta(0))

    def may_ask(self) -> bool:
        """Whether the store may be asked now. While it is down, one caller may at a time, after a growing pause."""
        if self._why is None:
            return True
        with self._lock:
            now = self._clock.elapsed()
            if self._why is not None and now < self._ask_at:
                return False
            self._ask_at = now + LONGEST_PAUSE  # should this caller's answer never come
            return True

    def look(self) -> bool:
        """Whether it is up. If it is down, and may be asked, asks it, for as long as a store's call takes."""
        if self._why is None:
            return True
        if not self.may_ask():
            return False
        try:
            up = self._reachable()
        except Exception as error:  # noqa: BLE001 - a driver's package may raise anything, and it is down either way
            logger.debug("the store of idempotency keys can't be asked: %s", error)
            up = False
        if up:
            self.note_up()
        else:
            self.note_down(self._why or "it doesn't answer")
        return up
