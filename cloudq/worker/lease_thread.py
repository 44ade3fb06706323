"""`LeaseThread`: calls the lease keeper when it is due."""

from __future__ import annotations

import threading

from cloudq.core.clock import Clock
from cloudq.worker.leases import LeaseKeeper


class LeaseThread:
    """Calls `LeaseKeeper.tick` when it is due."""

    def __init__(self, keeper: LeaseKeeper, clock: Clock) -> None:
        self._keeper = keeper
        self._clock = clock
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="cloudq-leases", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what is held is renewed no more."""
        with self._keeper.changed:
            self._stopped = True
            self._keeper.changed.notify_all()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        changed = self._keeper.changed
        while True:
            with changed:
                if self._stopped:
                    return
                # Read anew after each wake-up: `attach` may have moved it forward.
                due, now = self._keeper.wake_at, self._clock.now()
                if due is None or due > now:
                    self._clock.wait(changed, None if due is None else due - now)
                    continue
            self._keeper.tick(now)
