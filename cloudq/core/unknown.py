"""`UnknownTasks`: what becomes of messages whose task this program doesn't know.

Such a message is no poison at first sight: the queue may be shared with another program, or the producer may have been
deployed first. So it goes back, uncounted, for somebody who knows it, and is dead-lettered once that took too long.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from msgspec.structs import replace

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Outcome, Snoozed, Why
from cloudq.core.policy import DELIVERIES_WITHOUT_LIMIT
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import nearest

logger = SafeLogger("cloudq")

# How long it goes round before it is dead-lettered: longer than a deployment takes, and soon enough to be looked at.
UNKNOWN_TASK_PATIENCE: Final = timedelta(hours=1)
SHORTEST_AWAY: Final = timedelta(seconds=5)
LONGEST_AWAY: Final = timedelta(minutes=15)
ZERO: Final = timedelta(0)

# How much of a task's name is shown and compared: an unknown one may be of any length.
_NAME_CHARS: Final = 200
# How long it stays away, by how long it has waited. Each handing-over is a chance that a worker that knows it gets it,
# so there are about twenty in an hour; where each costs a delivery, nine: fewer than half of what a policy allows.
_GROWTH: Final = 0.5
_GROWTH_AT_A_COST: Final = 2
_LATEST_DOUBLING: Final = 8
_SPREAD: Final = 1.25
_LEAST_OF_THE_LONGEST: Final = 0.8
_LEAST_AT_A_COST: Final = 0.95
_MOST_REMEMBERED: Final = 10_000
_MOST_TOLD: Final = 100

_Identity: TypeAlias = tuple[str, str, str, str]
_Sight: TypeAlias = tuple[timedelta, datetime | None]
"""When it was first seen, by `Clock.elapsed`, and when it had failed last by then."""


class UnknownTasks:
    """Decides about deliveries of tasks that aren't declared. Thread-safe.

    Since when a message has been waiting is kept beside it. Where a backend keeps nothing beside a message that is
    released (an ordered queue of SQS or Service Bus), this process remembers it.

    Args:
        patience: How long one goes round before it is dead-lettered; zero: not at all.
        clock: Where the time comes from.
    """

    def __init__(self, patience: timedelta, clock: Clock) -> None:
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._seen: dict[_Identity, _Sight] = {}
        self._told: set[tuple[str, str]] = set()

    def decide(
        self, delivery: Delivery, message: Message, *, known: Iterable[str], without_end: int, most: int
    ) -> Outcome:
        """What becomes of a delivery whose task isn't known.

        Args:
            delivery: The delivery.
            message: What it holds.
            known: The names of the tasks that are.
            without_end: How many of its handings-over ended in no failure that is known.
            most: How many such are allowed.
        """
        named = message.task[:_NAME_CHARS]
        reason = f"unknown task {named!r}: {nearest(named, known)}"
        if not self._patience:
            return _dead(reason)
        now = self._clock.now()
        due = now if message.not_before is None else max(now, message.not_before)
        remembered = self._since(delivery, message, now, due)
        since = due if remembered is None else remembered
        waited = max(ZERO, now - since)
        if waited >= self._patience:
            self._forget(delivery, message)
            return _dead(f"{reason} (for {_shown(waited)} no program took it that knows it)")
        # Handing back counts where the backend counts releases: the other half is for workers that know the task.
        if 2 * without_end >= min(most, DELIVERIES_WITHOUT_LIMIT):
            self._forget(delivery, message)
            return _dead(f"{reason} (handed over {without_end} times, half of what its queue's policy allows)")
        self._tell(delivery.queue, named, reason)
        longest = (_GROWTH_AT_A_COST if without_end > 1 else _GROWTH) * waited
        if remembered is None and delivery.failure is None:
            longest = SHORTEST_AWAY * 2 ** min(max(0, delivery.without_end - 1), _LATEST_DOUBLING)
        spread = random.uniform(1.0, _SPREAD)  # noqa: S311 - so that not all come back at once
        # The longest are spread, too: else two messages that the wrong programs got would meet them again each time.
        least = _LEAST_AT_A_COST if without_end > 1 else _LEAST_OF_THE_LONGEST
        cap = LONGEST_AWAY * random.uniform(least, 1.0)  # noqa: S311 - as above
        delay = min(max(SHORTEST_AWAY, longest) * spread, cap, max(SHORTEST_AWAY, self._patience - waited))
        delay = max(delay, due - now)  # a worker that knows it wouldn't run it before
        before = delivery.failure.waiting_since if delivery.failure else None
        failure = replace(Failure.of(reason), unknown_since=since, waiting_since=before)
        return Snoozed(delay=delay, why=Why.UNKNOWN_TASK, reason=reason, failure=failure)

    def _since(self, delivery: Delivery, message: Message, now: datetime, due: datetime) -> datetime | None:
        """Since when it has been waiting for somebody who knows it; `None` if this is the first time."""
        if delivery.failure is not None and delivery.failure.unknown_since is not None:
            return delivery.failure.unknown_since
        identity, elapsed = _identity(delivery, message), self._clock.elapsed()
        last_failed = delivery.failure.last_at if delivery.failure else None
        with self._lock:
            seen = self._seen.pop(identity, None)
            first = seen is None or seen[1] != last_failed  # somebody who knows it has run it meanwhile
            if first or seen is None:
                seen = elapsed + (due - now), last_failed
            self._seen[identity] = seen
            while len(self._seen) > _MOST_REMEMBERED:
                del self._seen[next(iter(self._seen))]
        return None if first else now - (elapsed - seen[0])

    def _forget(self, delivery: Delivery, message: Message) -> None:
        """It may be redriven, and then begins anew."""
        with self._lock:
            self._seen.pop(_identity(delivery, message), None)

    def _tell(self, queue: str, named: str, reason: str) -> None:
        with self._lock:
            if (queue, named) in self._told or len(self._told) >= _MOST_TOLD:
                return
            self._told.add((queue, named))
        logger.warning(
            "queue %s holds messages of an %s; they go back to it, and are dead-lettered after %s",
            queue,
            reason,
            _shown(self._patience),
            extra={"cloudq_queue": queue},
        )


def _dead(reason: str) -> DeadLettered:
    return DeadLettered(reason=reason, failure=Failure.of(reason))


def _identity(delivery: Delivery, message: Message) -> _Identity:
    return delivery.queue, message.source, message.task, delivery.id


def _shown(span: timedelta) -> str:
    return str(timedelta(seconds=round(span.total_seconds())))
