"""The event loop's timer for what the broker has to do by the clock."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from cloudq.emulators.service_bus.broker.api import Clock, Messaging

_LONGEST: Final = 3600.0


class BrokerTimer:
    """Ticks the broker whenever something is due."""

    __slots__ = ("_broker", "_clock", "_due", "_handle", "_loop", "_stopped")

    def __init__(self, broker: Messaging, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._broker = broker
        self._clock = clock
        self._loop = loop
        self._due: datetime | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = False
        broker.on_due_change(self.reset)
        self.reset()

    def reset(self) -> None:
        """Sets the timer anew, if something is due before it."""
        due = None if self._stopped else self._broker.next_due()
        if due is None or (self._handle is not None and self._due is not None and self._due <= due):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._due = due
        wait = (due - self._clock.now()).total_seconds()
        self._handle = self._loop.call_later(min(max(0.0, wait), _LONGEST), self._tick)

    def _tick(self) -> None:
        self._handle = None
        self._broker.tick()
        self.reset()

    def stop(self) -> None:
        """No more ticks."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._stopped = True
