"""`ServiceTime`: DynamoDB tells no time to its conditions, so each process goes by what its answers are dated."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from cloudq.core.clock import Clock, to_micros

MARGIN: Final = timedelta(seconds=10)
"""How far two processes' ideas of the service's time may lie apart: a claim is over only this long after its end.

A `Date` has whole seconds, and the first answer was under way for up to `LONGEST_CALL`: by that one may be behind. The
other one is ahead by a second at most.
"""
LONGEST_CALL: Final = MARGIN - timedelta(seconds=2)
"""An answer that comes later than this would tell a time that is too old."""

_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000


class ServiceTime:
    """The service's time in microseconds since 1970. Counted on by the clock that can't be set.

    Args:
        clock: Where the time comes from between two answers, and before the first.

    Attributes:
        told: Whether it is the service's, and not this machine's own still.
    """

    def __init__(self, clock: Clock) -> None:
        self.told = False
        self._clock = clock
        # Both are replaced as a whole: several threads may do so, and a lock would be the parent's after a fork.
        self._known = to_micros(clock.now()), clock.elapsed()
        self._latest = "", 0

    def now(self) -> int:
        """The time now."""
        said, at = self._known
        return said + (self._clock.elapsed() - at) // _MICROSECOND

    def elapsed(self) -> timedelta:
        """The clock by which `learn` wants to know when a call began."""
        return self._clock.elapsed()

    def learn(self, answer: Any, since: timedelta) -> None:
        """Goes by an answer's `Date`, which botocore keeps among its headers. Without one nothing changes.

        The service's time now is at least what the date says, and less than a second, and the call's duration, more:
        what is counted from earlier answers stays as long as it lies between these two.

        Args:
            answer: Botocore's.
            since: When the call began, on `elapsed`.
        """
        try:
            date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
            said = self._read(date)
        except (KeyError, TypeError, ValueError):
            return
        at = self._clock.elapsed()
        if not said <= self.now() < said + _SECOND + (at - since) // _MICROSECOND:
            self._known = said, at
        self.told = True

    def _read(self, date: str) -> int:
        """What a date says. Many answers are of one second, and to read it costs as much as to sign a request."""
        known, said = self._latest
        if date != known:
            said = to_micros(parsedate_to_datetime(date))
            self._latest = date, said
        return said
