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
from cloudq.core.owed_notes import OwedNotes
from cloudq.running.held import HeldLease


class Series:
    """What of one thread's series has ended and isn't being settled yet. It fills it; any thread may empty it.

    Args:
        clock: Where the time comes from.

    Attributes:
        since: When the first of those in it ended, or an earlier one; means nothing if there is none.
        owed: What the run owes that its thread is at, as long as its beginning may wait; `None`: nothing.
        began: When that run began; means nothing if there is none.
    """

    __slots__ = ("_clock", "_ended", "_most", "began", "owed", "since")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Its steps are atomic, so that this needs no lock: what is kept is taken once.
        self._ended: deque[HeldLease] = deque()
        self.since = self.began = timedelta(0)
        self.owed: OwedNotes | None = None
        self._most = 1

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._ended)

    @property
    def full(self) -> bool:
        """Whether no more fit into one call."""
        return len(self._ended) >= self._most

    def begin(self, owed: OwedNotes) -> None:
        """Its thread begins a run. To be said before the lookout is asked to look.

        Args:
            owed: What the run is going to owe.
        """
        self.began = self._clock.elapsed()
        self.owed = owed

    def keep(self, held: HeldLease, most: int) -> None:
        """Adds one that has ended.

        Args:
            held: What has ended.
            most: How many fit into one call.
        """
        if not self._ended:
            self.since = self._clock.elapsed()
        self._most = most
        self._ended.append(held)

    def take_all(self) -> list[HeldLease]:
        """Takes out what is in it."""
        taken: list[HeldLease] = []
        try:
            while True:
                taken.append(self._ended.popleft())
        except IndexError:
            return taken

    def take_of_one_queue(self) -> list[HeldLease]:
        """Takes out what one call can settle. The others stay, in the lookout's sight: that call may hang."""
        taken: list[HeldLease] = []
        for held in list(self._ended):
            if not taken or held.delivery.queue == taken[0].delivery.queue:
                try:
                    self._ended.remove(held)
                except ValueError:
                    continue  # the lookout took it
                taken.append(held)
        return taken
