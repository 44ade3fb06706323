"""`Expiry`: what becomes of a message that wasn't begun before its time was over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.failure import Failure
from cloudq.core.handler import Handler
from cloudq.core.outcome import DeadLettered, Expired
from cloudq.core.spans import shown


class Expiry:
    """Decides about deliveries whose message says until when it is of use. Thread-safe.

    It is looked at before a run, a repeated one too, and never during one: what has begun goes on to its end.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def decide(
        self, delivery: Delivery, expires_at: datetime, handler: Handler[Any] | None
    ) -> Expired | DeadLettered | None:
        """What becomes of it; `None` if it may still be begun.

        Args:
            delivery: The delivery.
            expires_at: From when on its message isn't begun any more.
            handler: Its task, if that is known: it says whether such messages are dead-lettered.
        """
        now, stored = self._clock.now(), delivery.stored_at
        if stored is not None and stored > now:
            now = stored  # it can't have been stored in the future: this machine's clock is behind
        if now < expires_at:
            return None
        ago = shown(timedelta(seconds=int((now - expires_at).total_seconds())))
        reason = f"expired {ago} ago: it was to begin before {expires_at.isoformat(timespec='seconds')}"
        if handler is not None and handler.dead_letters_expired:
            return DeadLettered(reason=reason, failure=Failure.of(reason))
        return Expired(reason=reason)
