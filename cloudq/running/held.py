"""`HeldLease`: a delivery in hand, and its lease as it stands."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Final

from cloudq.core.delivery import Delivery
from cloudq.running.backoff import Backoff

# Nothing is renewed more often than this, however little the backend grants.
SHORTEST_PAUSE: Final = timedelta(milliseconds=50)


class HeldLease:
    """A delivery in hand, and its lease as it stands. Made by `LeaseKeeper.attach`.

    Attributes:
        delivery: What was handed over.
        lost: Set once the lease is over: someone else may have the message.
        expires_at: When the lease ends, as last granted.
        settle_by: When the settlement is given up, once the handler has ended; `None` before.
        since: When it came into hand.
        until: When the edge that holds it ends, if it does.
    """

    __slots__ = (
        "_backoff",
        "_detached",
        "_renew_at",
        "_renewing",
        "delivery",
        "expires_at",
        "lost",
        "settle_by",
        "since",
        "until",
    )

    def __init__(self, delivery: Delivery, now: datetime, *, extendable: bool) -> None:
        self.delivery = delivery
        self.lost = threading.Event()
        self.expires_at = delivery.lease.expires_at
        self.settle_by: datetime | None = None
        self.since = now
        self.until: datetime | None = None
        # The rest is the keeper's, guarded by its lock.
        self._renewing = False
        self._detached = False
        self._backoff: Backoff | None = None
        self._renew_at: datetime | None = self._half_way(now) if extendable else None

    def over(self, now: datetime) -> bool:
        """Whether the lease is over, noticed or not. `lost` is also set for what a shutdown is about to release."""
        return now >= self.expires_at

    def _half_way(self, now: datetime) -> datetime | None:
        limit = self.delivery.lease.hard_limit
        if limit is not None and self.expires_at >= limit:
            return None  # nothing more will be granted
        return now + max(SHORTEST_PAUSE, (self.expires_at - now) / 2)
