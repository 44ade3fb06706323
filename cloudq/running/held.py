"""`HeldLease`: a delivery in hand, and its lease as it stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from cloudq.core.delivery import Delivery
from cloudq.core.lazy_event import LazyEvent
from cloudq.core.owed_notes import OwedNotes
from cloudq.flow.limit import Limit
from cloudq.running.backoff import Backoff
from cloudq.running.lease_life import LeaseLife, State


class HeldLease:
    """A delivery in hand, and its lease as it stands. A worker's are made by `LeaseKeeper.attach`.

    Args:
        delivery: What was handed over.
        now: The present time, by `Clock.elapsed`.
        extendable: Whether the lease can be extended.

    Attributes:
        delivery: What was handed over.
        lost: Set once the lease is over (somebody else may have the message), or the edge gives up the task.
        expires_at: When the lease ends by the wall clock, as last granted: for show.
        since: When it came into hand, by `Clock.elapsed`.
        until: When the edge that holds it ends by `Clock.elapsed`, if it does.
        limits: What it may have to wait for before it starts, in a worker.
        entered: When it entered these, by `Clock.elapsed`, once it has.
        owed: What is to be noted before it is acknowledged, in a worker.
        stretch: How long its lease is to last at a time, where that is longer than usual, or `None`.
        life: The lease's state, and its moments by `Clock.elapsed`; a worker's is guarded by the lease keeper's lock.
    """

    __slots__ = (
        "_backoff",
        "_released",
        "delivery",
        "entered",
        "expires_at",
        "life",
        "limits",
        "lost",
        "owed",
        "since",
        "stretch",
        "until",
    )

    def __init__(self, delivery: Delivery, now: timedelta, *, extendable: bool) -> None:
        lease = delivery.lease
        self.delivery = delivery
        self.lost = LazyEvent()
        self.expires_at = lease.expires_at
        self.since = now
        self.until: timedelta | None = None
        self.stretch: timedelta | None = None
        self.limits: tuple[Limit, ...] = ()
        self.entered = now
        self.owed: OwedNotes | None = None
        self.life = LeaseLife(lease.ends, hard_end=lease.hard_end)
        if extendable:
            self.life.plan_extension(now)
        # The rest is the keeper's.
        self._backoff: Backoff | None = None
        self._released: Callable[[State], None] | None = None

    @property
    def ends(self) -> timedelta:
        """When the lease ends by `Clock.elapsed`, as last granted."""
        return self.life.ends

    def over(self, now: timedelta) -> bool:
        """Whether the lease's end has passed, noticed or not. `lost` is also set for what a shutdown releases.

        Args:
            now: The present time, by `Clock.elapsed`.
        """
        return self.life.over(now)
