"""`LeaseThread`: calls the lease keeper when it is due."""

from __future__ import annotations

from cloudq.core.clock import Clock
from cloudq.worker.leases import LeaseKeeper
from cloudq.worker.steady_thread import SLICE, SteadyThread


class LeaseThread(SteadyThread):
    """Calls `LeaseKeeper.tick` when it is due. Once it is stopped, what is held is extended no more."""

    def __init__(self, keeper: LeaseKeeper, clock: Clock) -> None:
        super().__init__("cloudq-leases", changed=keeper.changed, trouble="renewing leases failed, trying again")
        self._keeper = keeper
        self._clock = clock

    def _look(self) -> None:
        keeper = self._keeper
        with keeper.changed:
            if self._stopped:
                return
            # Read anew after each wake-up: `attach` may have moved it forward.
            due, now = keeper.wake_at, self._clock.elapsed()
            if due is None or due > now:
                self._clock.wait(keeper.changed, None if due is None else min(due - now, SLICE))
                return
        keeper.tick(now)
