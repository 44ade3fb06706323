"""`ServiceTime`: DynamoDB tells no time to its conditions, so each process goes by what its answers are dated."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Any, Final

from cloudq.core.clock import Clock, to_micros

MARGIN: Final = timedelta(seconds=10)
"""How far two processes' ideas of the service's time may lie apart: a claim is over only this long after its end.

A `Date` has whole seconds, and the answer was under way for up to a call's time limit; twice that, for two processes.
"""

_MICROSECOND: Final = timedelta(microseconds=1)


class ServiceTime:
    """The service's time in microseconds since 1970. Counted on by the clock that can't be set.

    Args:
        clock: Where the time comes from between two answers, and before the first.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._told = to_micros(clock.now())
        self._at = clock.elapsed()

    def now(self) -> int:
        """The time now."""
        with self._lock:
            told, at = self._told, self._at
        return told + (self._clock.elapsed() - at) // _MICROSECOND

    def learn(self, answer: Any) -> None:
        """Goes by an answer's `Date`, which botocore keeps among its headers. Without one nothing changes."""
        try:
            date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
            told = to_micros(parsedate_to_datetime(date))
        except (KeyError, TypeError, ValueError):
            return
        now = self.now()
        # Whole seconds: as long as it may be the same second, what is counted is the finer measure.
        if told <= now < told + 1_000_000:
            return
        with self._lock:
            self._told, self._at = told, self._clock.elapsed()
