"""`LockSpan`: when a queue's locks end, by a clock that can't be set.

The service says the moment by its own clock, which says little where this machine's is wrong or was set. How long a
lock lasts is true whatever the clocks say, but the service tells only managers of the queue. So the earlier counts:

* the queue's lock duration (told, or learnt from the grants so far), from before the call that was granted it;
* the service's moment, where that is plausible: ahead by this machine's clock, by no more than a lock can last.

What is learnt from a clock that is behind is too long, and tasks would hear of a lost lock too late. So the shortest is
learnt that any grant says, by the clock as it is set now and as it was set at first. Where both are behind, the first
lock that is over before it is renewed tells.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Final, TypeGuard

from cloudq.core.clock import Clock
from cloudq.drivers.service_bus.limits import MAX_LOCK, MIN_LOCK

_ZERO: Final = timedelta(0)
# Nothing shorter is learnt, or a clock that is ahead by nearly a lock would have each lock renewed without a pause. The
# service's own minimum is longer; emulators have shorter ones.
SHORTEST_LEARNT: Final = timedelta(seconds=1)


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
        # What a wall clock that is never set from now on shows when `Clock.elapsed` is zero.
        self._began = clock.now() - clock.elapsed()
        # Guarded by the lock.
        self._learnt: timedelta | None = None
        self._sure_until = _ZERO

    def ends(self, since: timedelta, moment: datetime | None, *, stored_at: datetime | None = None) -> timedelta:
        """When a lock ends, by `Clock.elapsed`.

        Args:
            since: A moment, by `Clock.elapsed`, at which it wasn't granted yet.
            moment: When it ends, as the service says.
            stored_at: When the message was stored, as the service says: no lock is older than its message.
        """
        wall, now = self._clock.now(), self._clock.elapsed()
        left = None if moment is None else moment - wall
        with self._lock:
            if moment is not None:
                self._learn(moment, (wall - (now - since), self._began + since), stored_at)
            whole = self._told or self._learnt
        if whole is None:
            # The service's clock, or ours, is wrong by more than a lock lasts. As nobody knows how long that is, it is
            # as long as the shortest there is: extended before that, and what is late the service refuses to settle.
            whole = MIN_LOCK
        if left is None or not _ZERO < left <= MAX_LOCK:
            return since + whole
        return min(since + whole, now + left)

    def note_early_end(self) -> None:
        """Notes that a lock was over as it was to be renewed.

        That is half-way to its end, so locks last half as long as was learnt, at most. Others that were granted by what
        was learnt so far say nothing new.
        """
        now = self._clock.elapsed()
        with self._lock:
            if self._learnt is not None and now >= self._sure_until:
                self._sure_until = now + self._learnt
                self._learnt = max(self._learnt / 2, min(self._learnt, MIN_LOCK))

    def _learn(self, moment: datetime, before: tuple[datetime, ...], stored_at: datetime | None) -> None:
        """Learns from one grant, by readings of a clock from before it."""
        said = [moment - one for one in before]
        if stored_at is not None and any(map(_plausible, [*said, self._learnt])):
            # By the service's own clock. Where the message came as it was stored, it is the duration itself.
            said.append(moment - stored_at)
        self._learnt = min(filter(_plausible, [*said, self._learnt]), default=None)


def _plausible(duration: timedelta | None) -> TypeGuard[timedelta]:
    return duration is not None and SHORTEST_LEARNT <= duration <= MAX_LOCK
