"""`StartRate`: how fast a queue's deliveries are started, and so how many may wait for a slot."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

# The work of this span may wait in the worker: enough to bridge a receive, far too little to outlast a lease.
HORIZON: Final = timedelta(seconds=1)
MOST: Final = 500
# Starts are counted over at least this long before they say anything about a rate.
WINDOW: Final = timedelta(milliseconds=50)
# How fast the measured rate follows the real one.
SMOOTHING: Final = timedelta(milliseconds=500)
# A queue that has started nothing for this long gets no credit.
LATELY: Final = timedelta(seconds=2)


class StartRate:
    """An exponentially weighted rate of starts. Its moments are `Clock.elapsed`'s.

    Args:
        lease: How long a delivery is leased: no more may wait than starts in a quarter of it.

    Attributes:
        starts: How many there were, ever.
    """

    def __init__(self, lease: timedelta) -> None:
        self.starts = 0
        self._horizon = min(HORIZON, lease / 4).total_seconds()
        self._count = 0
        self._window_from: timedelta | None = None
        self._last: timedelta | None = None
        self._rate = 0.0

    def note_start(self, now: timedelta) -> None:
        """Counts a start."""
        if self._last is None or now - self._last > LATELY:
            self._rate, self._count, self._window_from = 0.0, 0, now
        self._last = now
        self._count += 1
        self.starts += 1

    def prefetch(self, now: timedelta) -> int:
        """How many deliveries may wait: those that start within about a second, at most 500."""
        if self._last is None or self._window_from is None or now - self._last > LATELY:
            return 0
        span = now - self._window_from
        if span >= WINDOW:
            measured = self._count / span.total_seconds()
            # The first measurement counts fully, else a fresh worker would crawl for a second.
            weight = 1.0 if not self._rate else 1.0 - math.exp(-span / SMOOTHING)
            self._rate += weight * (measured - self._rate)
            self._count, self._window_from = 0, now
        return min(MOST, int(self._rate * self._horizon))
