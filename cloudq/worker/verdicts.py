"""`Verdicts`: what becomes, unrun, of a delivery whose work is decided; as this process remembers it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from cloudq.core.delivery import Delivery
from cloudq.core.outcome import DeadLettered, Outcome
from cloudq.core.safe_log import SafeLogger
from cloudq.running.log_fields import fields
from cloudq.running.runs import Runs

logger = SafeLogger("cloudq.worker")


class Verdicts:
    """The registry of runs, as the settler tells it.

    Args:
        runs: What this process runs.
        leases: How long the deliveries of each queue are leased at a time.
    """

    def __init__(self, runs: Runs, leases: Mapping[str, timedelta]) -> None:
        self._runs = runs
        self._leases = leases

    def note_done(self, delivery: Delivery) -> None:
        """Nothing is left to do, and the backend couldn't be told in time."""
        self._runs.note_done(delivery, self._leases[delivery.queue])

    def note_dead(self, delivery: Delivery, outcome: DeadLettered) -> None:
        """Its dead letter couldn't be stored."""
        self._runs.note_dead(delivery, outcome, self._leases[delivery.queue])

    def tell(self, delivery: Delivery, outcome: Outcome) -> None:
        """Logs what becomes of a redelivery that was set aside: an earlier run has done its work, or was its last."""
        dead = isinstance(outcome, DeadLettered)
        what = "had its last run and is to be dead-lettered" if dead else "was done by an earlier run"
        logger.info("%s %s", delivery.id, what, extra=fields(delivery))
