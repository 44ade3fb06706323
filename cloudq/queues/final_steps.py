"""From an outcome to the final step, for edges that settle by their answer (a push, a Lambda batch, a Function).

The polling worker does the same asynchronously: `cloudq.worker.settler`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Capabilities, FinalStep
from cloudq.core.outcome import Outcome
from cloudq.core.plan import plan
from cloudq.core.safe_log import SafeLogger
from cloudq.queues.cloud_queue import CloudQueue

logger = SafeLogger("cloudq")


def final_step(
    queue: CloudQueue, delivery: Delivery, outcome: Outcome, now: datetime, *, capabilities: Capabilities | None = None
) -> FinalStep:
    """Stores the copies that an outcome needs, and returns the step that is left to the edge. Never raises.

    Args:
        queue: The handle of the queue that the delivery came from.
        delivery: What was worked on.
        outcome: What became of it.
        now: The present time.
        capabilities: What the queue can do through this edge, where that is less than it can do by itself.
    """
    return final_steps(queue, [(delivery, outcome)], now, capabilities=capabilities)[0]


def final_steps(
    queue: CloudQueue,
    ended: Sequence[tuple[Delivery, Outcome]],
    now: datetime,
    *,
    capabilities: Capabilities | None = None,
) -> list[FinalStep]:
    """As `final_step`, for several deliveries of a queue: their copies share calls. One step each, in order."""
    plans = [plan(delivery, outcome, capabilities or queue.capabilities, now) for delivery, outcome in ended]
    results = iter(queue.store_copies([copy for made in plans for copy in made.copies]))
    steps = []
    for (delivery, _), made in zip(ended, plans, strict=True):
        errors = [result.error for result in islice(results, len(made.copies)) if result.error is not None]
        if errors:
            logger.error("the copy of %s could not be stored, so it stays in its queue: %s", delivery.id, errors[0])
        steps.append(made.instead(errors[0]) if errors else made.final)
    return steps
