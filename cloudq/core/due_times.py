"""`DueTimes`: what becomes of a message whose time hasn't come, and whose clock is believed about it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.failure import Failure
from cloudq.core.outcome import DeadLettered, Outcome, Retried, Snoozed, Why
from cloudq.core.safe_log import SafeLogger
from cloudq.core.spans import shown

logger = SafeLogger("cloudq.worker")

# How far away a message's time may be. A hop renews the retention of its service: without a bound one lives forever.
LONGEST_DELAY: Final = timedelta(days=400)
# How far the clocks of two machines may differ before a message is sent round again.
NOT_DUE_TOLERANCE: Final = timedelta(seconds=1)
# How far this machine's clock may be behind the service's before it isn't asked any more.
CLOCK_TOLERANCE: Final = timedelta(minutes=5)
# How far two clocks of machines that are in order are apart at most, so that what was just in time isn't refused.
_SPARE: Final = timedelta(minutes=10)
# How often a wrong clock is named in the log.
_TOLD_EVERY: Final = timedelta(minutes=5)


class DueTimes:
    """Decides about deliveries that have a due time. Thread-safe.

    The time is the later of this machine's and of when the service stored the message: it can't have been stored in the
    future. A machine that is far behind that can't tell what is due, so it leaves the message to others.

    Args:
        longest: How far away a due time may be.
        clock: Where the time comes from.
    """

    def __init__(self, longest: timedelta, clock: Clock) -> None:
        self._longest = longest
        self._clock = clock
        self._lock = threading.Lock()
        self._told: timedelta | None = None  # guarded by the lock

    def decide(self, delivery: Delivery, due: datetime) -> Snoozed | DeadLettered | None:
        """What becomes of a delivery that is due then; `None` if it is due."""
        now = self._clock.now()
        left = due - now
        if left <= NOT_DUE_TOLERANCE:
            return None
        stored = delivery.stored_at
        if stored is not None and stored - now > CLOCK_TOLERANCE:
            self._tell(delivery.queue, now, stored)
            return Snoozed(delay=left, why=Why.NOT_DUE, reason="this worker's clock is behind its queue's")
        away = due - (now if stored is None else max(now, stored))
        if away - _SPARE > self._longest:
            reason = f"due in {shown(away)}, which is further away than {shown(self._longest)} (longest_delay)"
            return DeadLettered(reason=reason, failure=Failure.of(reason))
        return Snoozed(delay=left, why=Why.NOT_DUE, reason="not due yet")

    def bounded(self, outcome: Outcome) -> Outcome:
        """The same with no retry further away than that, which would be dead-lettered where it comes."""
        if isinstance(outcome, (Retried, Snoozed)) and outcome.delay > self._longest:
            return replace(outcome, delay=self._longest)
        return outcome

    def _tell(self, queue: str, now: datetime, stored: datetime) -> None:
        elapsed = self._clock.elapsed()
        with self._lock:
            if self._told is not None and elapsed - self._told < _TOLD_EVERY:
                return
            self._told = elapsed
        logger.error(
            "this machine's clock says %s, and queue %s stored a message at %s: what isn't due by this clock is left to"
            " other workers; set the clock",
            now.isoformat(timespec="seconds"),
            queue,
            stored.isoformat(timespec="seconds"),
            extra={"cloudq_queue": queue},
        )
