"""From an outcome to the last step, for edges that settle by what they answer (a push, a Lambda batch, a Function).

The polling worker does the same asynchronously and in batches: `cloudq.worker.settler`.
"""

from __future__ import annotations

import logging
from datetime import datetime

from cloudq.cloud_queue import CloudQueue
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Capabilities, FinalStep
from cloudq.core.outcome import Outcome
from cloudq.core.plan import plan

logger = logging.getLogger("cloudq")


def final_step(
    queue: CloudQueue, delivery: Delivery, outcome: Outcome, now: datetime, *, capabilities: Capabilities | None = None
) -> FinalStep:
    """Stores the copies that an outcome takes, and says which step is left to the edge. Never raises.

    Args:
        queue: The handle of the queue that the delivery came from.
        delivery: What was worked on.
        outcome: What became of it.
        now: The present time.
        capabilities: What the queue can do through this edge, where that is less than it can do by itself.
    """
    made = plan(delivery, outcome, capabilities or queue.capabilities, now)
    error = next((result.error for result in queue.store_copies(made.copies) if result.error is not None), None)
    if error is None:
        return made.final
    logger.error("the copy of %s could not be stored, so it stays in its queue: %s", delivery.id, error)
    return made.on_copy_failure
