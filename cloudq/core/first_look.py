"""`FirstLook`: what can be decided of a delivery without its payload, before anything of it runs.

```
 poison? ─▶ signed? ─▶ queue? ─▶ handed over too often? ─▶ expired? ─▶ due? ─▶ known? ─▶ it may run
```
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Generic, TypeVar

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.details import Details
from cloudq.core.due_times import DueTimes
from cloudq.core.expiry import Expiry
from cloudq.core.handler import Handler, not_of
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Outcome
from cloudq.core.policy import RetryPolicy
from cloudq.core.signature_check import SignatureCheck
from cloudq.core.unknown import UnknownTasks

ContextT = TypeVar("ContextT")


class FirstLook(Generic[ContextT]):
    """Decides what a delivery's message and its counts alone decide. Thread-safe.

    Args:
        handlers: The declared tasks by name, aliases included. Looked up at each delivery.
        retry_policy: For deliveries whose task isn't known.
        least_deliveries: The backstop against messages that kill their worker is no lower than this, whatever the
            policies say.
        unknown_task_patience: How long a message of an unknown task goes round before it is dead-lettered.
        signatures: Looks at signatures; `None`: nobody does.
        strict_queues: Whether a message of a queue that its task doesn't name is dead-lettered.
        due_times: Decides about messages whose time hasn't come.
        details: Fills in what dead letters say.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler[ContextT]],
        *,
        retry_policy: RetryPolicy,
        least_deliveries: int,
        unknown_task_patience: timedelta,
        signatures: SignatureCheck | None,
        strict_queues: bool,
        due_times: DueTimes,
        details: Details,
        clock: Clock,
    ) -> None:
        self._handlers = handlers
        self._retry_policy = retry_policy
        self._least_deliveries = least_deliveries
        self._unknown = UnknownTasks(unknown_task_patience, clock)
        self._signatures = signatures
        self._strict_queues = strict_queues
        self._due_times = due_times
        self._expiry = Expiry(clock)
        self._details = details

    def believes(self, delivery: Delivery) -> bool:
        """Whether its message may be believed, as far as signatures go."""
        return self._signatures is None or self._signatures.accepts(delivery)

    def decide(self, delivery: Delivery) -> tuple[Handler[ContextT], Message] | Outcome:
        """An outcome, or that the message is to be run, and by which task."""
        message = delivery.message
        if message is None:
            return self._details.dead(delivery, f"undecodable: {delivery.undecodable}")
        if self._signatures is not None and (unsigned := self._signatures.reason_against(delivery)) is not None:
            return self._details.dead(delivery, unsigned)
        handler = self._handlers.get(message.task)
        if self._strict_queues and handler is not None and delivery.queue not in handler.queues:
            return self._details.dead(delivery, not_of(handler, delivery.queue))
        policy = handler.retry_policy if handler else self._retry_policy
        without_end = delivery.without_end
        most = max(policy.max_deliveries, self._least_deliveries)
        if without_end > most:
            reason = f"worker died or lease expired: handed over {without_end - 1} times without an end"
            return self._details.dead(delivery, reason)
        if message.expires_at is not None:
            expired = self._expiry.decide(delivery, message.expires_at, handler)
            if expired is not None:
                return self._details.of(delivery, expired)
        early = None if message.not_before is None else self._due_times.decide(delivery, message.not_before)
        if isinstance(early, DeadLettered):
            return self._details.of(delivery, early)
        if handler is None:
            unknown = self._unknown.decide(delivery, message, known=self._handlers, without_end=without_end, most=most)
            return self._details.of(delivery, unknown)
        return early or (handler, message)
