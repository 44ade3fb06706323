"""`Series`: the short tasks that one thread works off one after the other; what has ended is settled together.

```
 take ─ run ─ keep ─ take ─ run ─ keep ─ ... ─ nothing waits, or a call is full ─▶ settled by one call of this thread
                       └─ this one turns out long ─▶ `Lookout`: others take what waits, and what ended is settled
```
"""

from __future__ import annotations

from collections import deque
from datetime import timedelta

from cloudq.core.clock import Clock
from cloudq.running.held import HeldLease


class Series:
    """What of one thread's series has ended and isn't being settled yet. It fills it; any thread may empty it.

    Args:
        clock: Where the time comes from.

    Attributes:
        since: When the first of those in it ended; means nothing if there is none.
        full: Whether no more of them fit into one call.
    """

    __slots__ = ("_clock", "_ended", "full", "since")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Its steps are atomic, so that this needs no lock: what is kept is taken once.
        self._ended: deque[HeldLease] = deque()
        self.since = timedelta(0)
        self.full = False

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._ended)

    def keep(self, held: HeldLease, most: int) -> None:
        """Adds one that has ended.

        Args:
            held: What has ended.
            most: How many fit into one call.
        """
        if not self._ended:
            self.since = self._clock.elapsed()
        self._ended.append(held)
        self.full = len(self._ended) >= most

    def take_all(self) -> list[HeldLease]:
        """Takes out what is in it."""
        taken: list[HeldLease] = []
        try:
            while True:
                taken.append(self._ended.popleft())
        except IndexError:
            return taken
