"""`LockSpan`: when a queue's locks end, by a clock that can't be set.

The service says the moment by its own clock, which says little where this machine's is wrong or was set. How long a
lock lasts is true whatever the clocks say, but the service tells only managers of the queue. So the earlier counts:

* the queue's lock duration (told, or learnt from the first grant), from before the call that was granted it;
* the service's moment, where it is still ahead by this machine's clock.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.drivers.service_bus.limits import MAX_LOCK, MIN_LOCK

_ZERO: Final = timedelta(0)


class LockSpan:
    """How long the locks of one queue last.

    Args:
        clock: Where the time comes from.
        told: The queue's lock duration, where somebody knows it.
    """

    def __init__(self, clock: Clock, told: timedelta | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._told = told
        self._learnt: timedelta | None = None  # guarded by the lock

    def ends(self, since: timedelta, moment: datetime | None, *, stored_at: datetime | None = None) -> timedelta:
        """When a lock ends, by `Clock.elapsed`.

        Args:
            since: A moment, by `Clock.elapsed`, at which it wasn't granted yet.
            moment: When it ends, as the service says.
            stored_at: When the message was stored, as the service says: no lock is older than its message.
        """
        left = None if moment is None else moment - self._clock.now()
        now = self._clock.elapsed()
        with self._lock:
            self._learn(left, moment, stored_at)
            whole = self._told or self._learnt
        if left is None or left <= _ZERO:
            # The service's clock, or ours, is wrong by more than a lock lasts. If nobody knows how long that is, it is
            # as long as the shortest there is: extended before that, and what is late the service refuses to settle.
            return since + (whole or MIN_LOCK)
        return min(since + (whole or MAX_LOCK), now + left)

    def _learn(self, left: timedelta | None, moment: datetime | None, stored_at: datetime | None) -> None:
        if self._learnt is None and left is not None and _ZERO < left <= MAX_LOCK:
            self._learnt = left
        if self._learnt is not None and moment is not None and stored_at is not None:
            # Both by the service's clock. Where the message came as it was stored, it is the duration itself.
            most = moment - stored_at
            if _ZERO < most < self._learnt:
                self._learnt = most
