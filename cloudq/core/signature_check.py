"""`SignatureCheck`: what becomes of a message that isn't signed, or isn't what was signed."""

from __future__ import annotations

import threading
from collections.abc import Container
from typing import Final, Literal, TypeAlias

from cloudq.core.delivery import Delivery
from cloudq.core.safe_log import SafeLogger
from cloudq.core.signatures import fault_in
from cloudq.core.signing_keys import SigningKeys

logger = SafeLogger("cloudq")

SigningMode: TypeAlias = Literal["off", "warn", "require"]
"""What a worker does about signatures: looks at none; runs all and logs; runs only what is signed."""

# A sender could make up ever more queues and tasks, and each would be a line of the log.
_MOST_TOLD: Final = 1000


class SignatureCheck:
    """Looks at the signature of each delivery. Thread-safe.

    Args:
        keys: Whose signatures count.
        required: Whether a message without one of theirs is refused; if not, it is only logged.
        known: The names of the tasks that there are.
    """

    def __init__(self, keys: SigningKeys, *, required: bool, known: Container[str]) -> None:
        self._keys = keys
        self._required = required
        self._known = known
        self._lock = threading.Lock()
        self._told: set[tuple[str, str]] = set()  # guarded by the lock

    def accepts(self, delivery: Delivery) -> bool:
        """Whether its message may be believed. Says nothing."""
        return not self._required or delivery.message is None or fault_in(delivery.body, self._keys) is None

    def reason_against(self, delivery: Delivery) -> str | None:
        """Why its message must not run; `None` if it may, which is logged once a queue and task if it has a fault."""
        message = delivery.message
        if message is None:
            return None  # it has a reason of its own
        fault = fault_in(delivery.body, self._keys)
        if fault is None:
            return None
        if self._required:
            return f"signature: {fault}"
        self._tell(delivery.queue, message.task if message.task in self._known else "an unknown task", fault)
        return None

    def _tell(self, queue: str, task: str, fault: str) -> None:
        with self._lock:
            if (queue, task) in self._told or len(self._told) >= _MOST_TOLD:
                return
            self._told.add((queue, task))
        logger.warning(
            "queue %s: a message of %s is run though %s; no more is said of this queue and task. "
            "signing='require' would dead-letter it",
            queue,
            task,
            fault,
            extra={"cloudq_queue": queue},
        )
