"""`Patience`: how long a message waits for what isn't its fault, when it comes back, and that it costs no attempt.

A snoozed message says since when it waits in the failure that is kept beside it. Where a backend keeps nothing beside a
message that is released, and counts the release as a delivery (an ordered queue of SQS), this process remembers it.
"""

from __future__ import annotations

import random
import threading
from datetime import timedelta
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.failure import Failure
from cloudq.core.outcome import Acked, DeadLettered, Outcome, Snoozed, Why
from cloudq.core.spans import shown

# How long a message may wait for the same thing. Then a person is to see it.
PATIENCE: Final = timedelta(days=1)
# A delivery that finds the store down comes back no sooner: a queue's messages aren't to go round all the time.
STORE_DOWN_DELAY: Final = timedelta(minutes=5)
LONGEST_STORE_DOWN_DELAY: Final = timedelta(minutes=15)
# Another delivery's claim ends when it ends; one that is renewed again and again is asked about less and less often.
SHORTEST_CLAIMED_DELAY: Final = timedelta(seconds=1)
LONGEST_CLAIMED_DELAY: Final = timedelta(minutes=5)
ZERO: Final = timedelta(0)

_SPREAD: Final = 1.25
_MOST_REMEMBERED: Final = 10_000
# These have a patience and delays of their own.
_DECIDED: Final = frozenset({Why.NOT_DUE, Why.UNKNOWN_TASK, Why.PAYLOAD})
_REMEMBERED: Final = frozenset(Why) - {Why.NOT_DUE, Why.UNKNOWN_TASK}

_Copy: TypeAlias = tuple[str, str, str, str, int, str | None]


class _Wait(NamedTuple):
    """What is remembered of a copy that was snoozed.

    Attributes:
        attempt: Its number when it was seen last, as the backend counts.
        deliveries: The same of its handings-over.
        attempts_back: How many of its attempts were none.
        deliveries_back: The same of its handings-over.
        asleep: Whether its latest handing-over here ended in a snooze.
        failure: What is to be known of its waiting.
    """

    attempt: int
    deliveries: int
    attempts_back: int
    deliveries_back: int
    asleep: bool
    failure: Failure


class Patience:
    """Decides when a snoozed message comes back, and gives it up once it waited for too long. Thread-safe.

    Args:
        limit: How long it may wait for the same thing.
        clock: Where the time comes from.
    """

    def __init__(self, limit: timedelta, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._waits: dict[_Copy, _Wait] = {}

    def recall(self, delivery: Delivery) -> Delivery:
        """The same without the attempts and handings-over that were no more than waiting, as far as is known here."""
        if not self._waits:  # as nearly always
            return delivery
        copy = _copy(delivery)
        with self._lock:
            wait = self._waits.get(copy)
            if wait is None:
                return delivery
            wait = wait._replace(
                attempts_back=wait.attempts_back + (wait.asleep and delivery.attempt > wait.attempt),
                deliveries_back=wait.deliveries_back + (wait.asleep and delivery.deliveries > wait.deliveries),
                attempt=delivery.attempt,
                deliveries=delivery.deliveries,
                asleep=False,
            )
            self._waits[copy] = wait
        deliveries = max(1, delivery.deliveries - wait.deliveries_back)
        # Of those that were taken off, the ones that used no attempt: the driver itself said so of them.
        said = max(0, wait.deliveries_back - wait.attempts_back)
        kept = delivery.failure
        return replace(
            delivery,
            attempt=max(1, delivery.attempt - wait.attempts_back),
            deliveries=deliveries,
            known_ends=min(max(0, delivery.known_ends - said), deliveries - 1),
            failure=wait.failure if kept is None or _says_nothing(kept) else kept,
        )

    def over(self, delivery: Delivery) -> Delivery:
        """The same once it needn't wait any more: how long it did is kept, so that age-based stops don't count it."""
        failure = delivery.failure
        since = None if failure is None else failure.waiting_since or failure.unknown_since
        if failure is None or since is None:
            return delivery
        waited = failure.waited + max(ZERO, self._clock.now() - since)
        failure = replace(failure, waiting_since=None, unknown_since=None, waited=waited)
        if self._waits:
            copy = _copy(delivery)
            with self._lock:
                if (wait := self._waits.get(copy)) is not None:
                    self._waits[copy] = wait._replace(failure=failure)
        return replace(delivery, failure=failure)

    def bounded(self, delivery: Delivery, outcome: Outcome, raw: Delivery) -> Outcome:
        """What becomes of a delivery in the end: a snooze has its delay, and an end.

        Args:
            delivery: What was worked on, as `recall` gave it.
            outcome: What became of it.
            raw: As the backend handed it over.
        """
        if isinstance(outcome, Snoozed) and outcome.why not in _DECIDED:
            outcome = self._snoozed(delivery, outcome)
        if isinstance(outcome, Snoozed):
            if outcome.why in _REMEMBERED and outcome.failure is not None:
                self._remember(raw, outcome.failure)
        elif self._waits and isinstance(outcome, (Acked, DeadLettered)):
            with self._lock:
                self._waits.pop(_copy(raw), None)
        return outcome

    def _snoozed(self, delivery: Delivery, outcome: Snoozed) -> Outcome:
        now, before = self._clock.now(), delivery.failure
        since = (before.waiting_since if before is not None else None) or now
        waited = max(ZERO, now - since)
        # A limit may well hold up more messages than start in a day.
        if waited >= self._limit and outcome.why is not Why.LIMITED:
            reason = f"{outcome.reason} (it has waited for {shown(waited)}: {outcome.why.value})"
            return DeadLettered(reason=reason, failure=Failure.of(reason))
        delay = _delay(outcome, waited)
        failure = replace(
            outcome.failure or Failure.of(outcome.reason),
            waiting_since=since,
            waited=before.waited if before is not None else ZERO,
        )
        return replace(outcome, delay=delay, failure=failure)

    def _remember(self, raw: Delivery, failure: Failure) -> None:
        copy = _copy(raw)
        with self._lock:
            wait = self._waits.pop(copy, None)
            self._waits[copy] = _Wait(
                attempt=raw.attempt,
                deliveries=raw.deliveries,
                attempts_back=wait.attempts_back if wait is not None else 0,
                deliveries_back=wait.deliveries_back if wait is not None else 0,
                asleep=True,
                failure=failure,
            )
            while len(self._waits) > _MOST_REMEMBERED:
                del self._waits[next(iter(self._waits))]


def _delay(outcome: Snoozed, waited: timedelta) -> timedelta:
    spread = random.uniform(1.0, _SPREAD)  # noqa: S311 - so that not all come back at once
    if outcome.why is Why.STORE_DOWN:
        return max(outcome.delay, STORE_DOWN_DELAY, min(LONGEST_STORE_DOWN_DELAY, waited / 2)) * spread
    if outcome.why is Why.CLAIMED:
        return max(outcome.delay, SHORTEST_CLAIMED_DELAY, min(LONGEST_CLAIMED_DELAY, waited / 4)) * spread
    if outcome.why is Why.LIMITED:
        return max(outcome.delay, min(LONGEST_CLAIMED_DELAY, waited / 4)) * spread
    return max(ZERO, outcome.delay)


def _says_nothing(failure: Failure) -> bool:
    """Of waiting."""
    return not failure.is_wait and not failure.waited


def _copy(delivery: Delivery) -> _Copy:
    message = delivery.message
    return (
        delivery.queue,
        message.source if message else "",
        message.task if message else "",
        delivery.id,
        message.generation if message else 0,
        delivery.copy,
    )
