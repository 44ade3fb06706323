"""The token bucket of a queue's rate limits. Pure: the time is an argument."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

# Rounding: a token that is there but for this counts as there, else a wait could be shorter than a clock can tell.
_ALMOST: Final = 1e-6
_LONGEST: Final = 366 * 86_400.0  # a wait of that length looks again at its end


class TokenBucket:
    """Tokens come at a rate, up to a burst; each dispatch takes one.

    Args:
        rate: Tokens a second, more than 0.
        burst: The most that there can be, at least 1. At first it is full.
        now: The present moment.
    """

    __slots__ = ("_burst", "_rate", "_since", "_tokens")

    def __init__(self, rate: float, burst: int, now: datetime) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._since = now

    def take(self, now: datetime) -> bool:
        """Takes a token, if there is one."""
        self._refill(now)
        if self._tokens < 1 - _ALMOST:
            return False
        self._tokens -= 1
        return True

    def next_at(self, now: datetime) -> datetime:
        """When there will be a token; `now` if there is one."""
        self._refill(now)
        missing = 1 - self._tokens
        if missing <= _ALMOST:
            return now
        when = now + timedelta(seconds=min(missing / self._rate, _LONGEST))  # to the nearest microsecond
        gained = (when - self._since).total_seconds() * self._rate
        return when if self._tokens + gained >= 1 - _ALMOST else when + timedelta(microseconds=1)

    def change(self, rate: float, burst: int, now: datetime) -> None:
        """Goes on with other limits. The tokens stay, as far as they fit."""
        self._refill(now)
        self._rate = rate
        self._burst = burst
        self._tokens = min(self._tokens, float(burst))

    def _refill(self, now: datetime) -> None:
        passed = (now - self._since).total_seconds()
        if passed > 0:
            self._tokens = min(float(self._burst), self._tokens + passed * self._rate)
            self._since = now
