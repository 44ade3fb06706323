"""`Pace`: this many messages a second and no more, evenly."""

from __future__ import annotations

from datetime import timedelta
from threading import Condition
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.printable import shortened
from cloudq.errors import OptionError

# A wait is cut into slices: a suspended machine's time counts.
_SLICE: Final = timedelta(seconds=1)
_NO_TIME: Final = timedelta(0)
# A time span ends at a billion days, and a number that is very large can't be counted with.
_LEAST: Final = 1 / 86_400
_MOST: Final = 1_000_000
_SHOWN: Final = 60


class Pace:
    """How fast messages may be sent. Not thread-safe.

    Args:
        rate: How many a second; `None` for as fast as it goes.
        clock: Where the time comes from.

    Raises:
        OptionError: The rate isn't a number, is below one a day, or above a million a second.
    """

    def __init__(self, rate: float | None, clock: Clock) -> None:
        if rate is not None and not isinstance(rate, int | float):
            raise OptionError(
                f"a rate is a number of messages a second, not {shortened(repr(rate), _SHOWN)}", hint="rate=50"
            )
        if rate is not None and not _LEAST <= rate <= _MOST:
            raise OptionError(
                f"a rate of {shortened(repr(rate), _SHOWN)} messages a second can't be kept",
                hint="0.5 means one in 2 s; from one a day to a million a second",
            )
        self._rate = rate
        self._clock = clock
        self._turn = clock.elapsed()
        self._waiting = Condition()

    def within(self, span: timedelta, most: int) -> int:
        """How many may be sent in a span; at least one, at most `most`."""
        return most if self._rate is None else max(1, min(most, int(self._rate * span.total_seconds())))

    def wait(self) -> None:
        """Returns when the next one may be sent."""
        if self._rate is None:
            return
        with self._waiting:
            while (left := self._turn - self._clock.elapsed()) > _NO_TIME:
                self._clock.wait(self._waiting, min(left, _SLICE))

    def note(self, count: int) -> None:
        """Notes that as many are sent now."""
        if self._rate is not None:
            self._turn = max(self._turn, self._clock.elapsed()) + timedelta(seconds=count / self._rate)
