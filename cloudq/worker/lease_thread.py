"""`LeaseThread`: calls the lease keeper when it is due."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.worker.leases import LeaseKeeper

logger = SafeLogger("cloudq.worker")

# A wait doesn't notice that the machine was suspended (see `Clock.wait`), so it is cut into slices.
SLICE: Final = timedelta(seconds=1)
# After a round that failed, in real time, since the clock itself may be what failed.
PAUSE_SECONDS: Final = 0.1


class LeaseThread:
    """Calls `LeaseKeeper.tick` when it is due. Nothing that a call raises ends it."""

    def __init__(self, keeper: LeaseKeeper, clock: Clock) -> None:
        self._keeper = keeper
        self._clock = clock
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="cloudq-leases", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what is held is extended no more."""
        with self._keeper.changed:
            self._stopped = True
            self._keeper.changed.notify_all()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        failed_before = False
        while not self._stopped:
            try:
                self._look()
                failed_before = False
            except BaseException:
                if not failed_before:
                    logger.exception("renewing leases failed, trying again")
                failed_before = True
                time.sleep(PAUSE_SECONDS)

    def _look(self) -> None:
        """Calls the keeper if something is due, else waits for a while."""
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
