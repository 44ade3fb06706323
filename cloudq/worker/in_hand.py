"""`InHand` and `GoingBack`: how much a worker holds, and what it gives back unstarted."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import msgspec

from cloudq.running.held import HeldLease


class GoingBack(NamedTuple):
    """A delivery that was not started here, and for how long it is to stay away."""

    held: HeldLease
    delay: timedelta


class InHand(msgspec.Struct, frozen=True, kw_only=True):
    """How much is in the worker's hands.

    Attributes:
        waiting: Received and not started, what was set aside included.
        running: Started and not ended.
        settling: Ended, or to be released, and not confirmed.
        started: Started so far.
    """

    waiting: int
    running: int
    settling: int
    started: int

    @property
    def total(self) -> int:
        """All deliveries in hand: those that are neither settled nor given up."""
        return self.waiting + self.running + self.settling
