"""`GateThread`: has what waits for a limit start when its turn comes, and asks for more turns in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.worker.gate import Gate
from cloudq.worker.in_hand import GoingBack

logger = SafeLogger("cloudq.worker")

# A wait doesn't notice that the machine was suspended (see `Clock.wait`), so it is cut into slices.
SLICE: Final = timedelta(seconds=1)
# After a round that failed, in real time, since the clock itself may be what failed.
PAUSE_SECONDS: Final = 0.1


class GateThread:
    """Looks after a gate, in a thread of its own. Nothing that a call raises ends it.

    Args:
        gate: The gate.
        started: Called when something may start.
        give_back: Gives back what would have to wait for too long.
        wake: Has the pollers look again whether they may ask, with the gate's lock held.
        run: Runs a call of the store on another thread. Returns whether it will.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        started: Callable[[], None],
        give_back: Callable[[Iterable[GoingBack]], None],
        wake: Callable[[], None],
        run: Callable[[Callable[[], None]], bool],
        clock: Clock,
    ) -> None:
        self._gate = gate
        self._started = started
        self._give_back = give_back
        self._wake = wake
        self._run_aside = run
        self._clock = clock
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="cloudq-limits", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread: nothing that is parked starts any more."""
        with self._gate.lock:
            self._stopped = True
            self._gate.changed.notify_all()

    def _run(self) -> None:
        failed_before = False
        while not self._stopped:
            try:
                self._look()
                failed_before = False
            except BaseException:
                if not failed_before:
                    logger.exception("looking after the limits failed, trying again")
                failed_before = True
                time.sleep(PAUSE_SECONDS)

    def _look(self) -> None:
        """Does what is due, else waits for a while."""
        gate = self._gate
        with gate.lock:
            if self._stopped:
                return
            now = self._clock.elapsed()
            overdue = gate.take_overdue(now)
            released = gate.release(now)
            self._wake()
            asks = gate.asks(now)
            if not (released or asks or overdue):
                due = gate.next_at(now)
                self._clock.wait(gate.changed, SLICE if due is None else min(SLICE, due - now))
                return
        if overdue:
            self._give_back(overdue)
        if released:
            self._started()
        for limit, count in asks:
            ask = partial(gate.ask, limit, count)
            if not self._run_aside(ask):
                ask()
