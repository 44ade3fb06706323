"""`Details`: what is kept with a message that failed: counts, times, and who says so."""

from __future__ import annotations

import os
import socket

from msgspec.structs import replace

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.failure import Failure, bounded_reason
from cloudq.core.message import LARGEST_COUNT
from cloudq.core.outcome import Acked, DeadLettered, Outcome
from cloudq.core.redriving import times_redriven


class Details:
    """Fills in what only the delivery knows.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def dead(self, delivery: Delivery, reason: str, error: BaseException | None = None) -> Outcome:
        """It is to be dead-lettered."""
        return self.of(delivery, DeadLettered(reason=reason, failure=Failure.of(reason, error)))

    def of(self, delivery: Delivery, outcome: Outcome) -> Outcome:
        """Adds the counts and times to what failed; a middleware's own texts get their bounds here."""
        if isinstance(outcome, Acked):
            return outcome
        reason = bounded_reason(outcome.reason)
        if outcome.failure is None:
            return replace(outcome, reason=reason)
        now = self._clock.now()
        before = delivery.failure
        failure = replace(
            outcome.failure.redacted(),
            attempts=min(delivery.attempt, LARGEST_COUNT),
            deliveries=min(delivery.deliveries, LARGEST_COUNT),
            first_at=(before.first_at if before is not None else None) or now,
            last_at=now,
            worker=worker_name(),
            generation=_generation(delivery),
            waited=max(outcome.failure.waited, before.waited) if before is not None else outcome.failure.waited,
            redriven=times_redriven(delivery.message, before),
        )
        return replace(outcome, reason=reason, failure=failure)


def _generation(delivery: Delivery) -> int:
    """Where the body can't say it, the details beside it do: a redrive leaves them there (semantics 1)."""
    if delivery.message is not None:
        return delivery.message.generation
    return delivery.failure.generation if delivery.failure else 0


def worker_name() -> str:
    """`host:pid` of this process, as dead letters name it. Not kept: a fork has its own."""
    return f"{socket.gethostname()}:{os.getpid()}"
