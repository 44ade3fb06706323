"""`Parking`: messages held for a retry where no copy can be sent, since an abandon has no delay (semantics 17).

The one exception to "nothing waits in memory", bounded by `native_retry_delay`. If the process ends, their locks do,
and they come again somewhat early or late. Where no thread can be started for it, nothing is held.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.drivers.service_bus import deadlines
from cloudq.drivers.service_bus.dispositions import Disposition
from cloudq.drivers.service_bus.receipts import Receipt

logger = SafeLogger("cloudq")

# How often the clock is looked at, which a test may turn, and the locks with it.
LOOK: Final = timedelta(milliseconds=50)
# A lock that couldn't be renewed is tried again after this, lost or not.
AGAIN: Final = timedelta(seconds=1)


class Parking:
    """Holds messages until their time, then gives them back. Starts its thread with the first of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._parked: list[tuple[timedelta, int, Receipt, Disposition]] = []
        self._renew_at: dict[int, timedelta] = {}
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def held(self) -> int:
        """How many messages are held at this moment."""
        return len(self._parked)

    def park(self, receipt: Receipt, delay: timedelta, ends: timedelta, disposition: Disposition) -> bool:
        """Holds a message, whose lock ends then by `Clock.elapsed`, and gives it back after `delay` that way.

        Returns:
            `False`: it is not held, as there is no thread to give it back and none can be started, or it is closed.
        """
        with self._changed:
            if not self._staffed():
                return False
            receipt.holder.watch(receipt.message, None)
            number = next(self._numbers)
            self._renew_at[number] = self._half_way(ends)
            heapq.heappush(self._parked, (self._clock.elapsed() + delay, number, receipt, disposition))
            self._changed.notify()
            return True

    def close(self) -> None:
        """Gives everything back now."""
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join(timeout=5)

    def _staffed(self) -> bool:
        if self._closed:
            return False
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="cloudq-service-bus-parking", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError) as error:
                logger.warning("no thread can be started, so a message is given back early for its retry: %s", error)
                return False
            self._thread = thread  # only now, as it may not start
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._due()
                if not due:
                    if self._closed:
                        return
                    self._changed.wait(LOOK.total_seconds() if self._parked else None)
                renewing = self._renewable()
            for receipt, disposition in due:
                self._give_back(receipt, disposition)
            for number, receipt in renewing:
                self._renew_at[number] = self._renew(receipt)

    def _give_back(self, receipt: Receipt, disposition: Disposition) -> None:
        try:
            with deadlines.within(deadlines.DEFAULT):
                receipt.holder.settle([(receipt.message, disposition)])
        except Exception:  # the others are given back nonetheless; this one's lock ends
            logger.exception("a message that was held for its retry could not be given back")

    def _renew(self, receipt: Receipt) -> timedelta:
        """Renews a lock. When that is to be done again: soon, but not at once, where it failed."""
        try:
            with deadlines.within(deadlines.DEFAULT):
                (ends,) = receipt.holder.renew([receipt.message])
        except Exception as error:  # noqa: BLE001 - the thread is shared
            ends = error
        return self._half_way(ends) if isinstance(ends, timedelta) else self._clock.elapsed() + AGAIN

    def _due(self) -> list[tuple[Receipt, Disposition]]:
        due = []
        while self._parked and (self._closed or self._parked[0][0] <= self._clock.elapsed()):
            _, number, receipt, disposition = heapq.heappop(self._parked)
            del self._renew_at[number]
            due.append((receipt, disposition))
        return due

    def _renewable(self) -> list[tuple[int, Receipt]]:
        now = self._clock.elapsed()
        held = ((number, receipt) for _, number, receipt, _ in self._parked)
        return [(number, receipt) for number, receipt in held if self._renew_at[number] <= now]

    def _half_way(self, ends: timedelta) -> timedelta:
        now = self._clock.elapsed()
        return now + (ends - now) / 2
