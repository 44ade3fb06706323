"""`plan()`: how an outcome is carried out on a backend, natively or by a copy. Every emulation is here.

The rule that all of it keeps: **copy before settle.** A plan's copies are stored first; only then is its final step
carried out. So a crash between the two leaves a duplicate, never a loss.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from typing import Final as Const

import msgspec
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, Capabilities, FinalStep, NativeDeadLetter, Outgoing, Release
from cloudq.core.failure import Failure
from cloudq.core.message import Message, dead_letter_queue, native_copy_id, next_generation
from cloudq.core.outcome import Acked, DeadLettered, Outcome, Retried, Snoozed
from cloudq.errors import MessageTooLarge

ZERO: Const = timedelta(0)
# How long a message stays away if its copy could not be stored.
COPY_FAILED_DELAY: Const = timedelta(seconds=30)

_END_OF_TIME: Const = datetime.max.replace(tzinfo=UTC)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the edge does, in this order.

    Attributes:
        copies: To be stored first, all of them.
        final: To be carried out once the copies are stored.
        on_copy_failure: To be carried out instead if one couldn't be stored.
        on_too_large: The same where it is too large for its queue, and so never will be stored; `None`: no difference.
    """

    copies: tuple[Outgoing, ...] = ()
    final: FinalStep
    on_copy_failure: FinalStep = Release()
    on_too_large: FinalStep | None = None

    def instead(self, error: BaseException) -> FinalStep:
        """The final step where a copy couldn't be stored because of `error`."""
        if isinstance(error, MessageTooLarge) and self.on_too_large is not None:
            return self.on_too_large
        return self.on_copy_failure


_ACK: Const = Plan(final=Ack())


def plan(delivery: Delivery, outcome: Outcome, capabilities: Capabilities, now: datetime) -> Plan:
    """How `outcome` is carried out for `delivery` on a queue with these capabilities. Pure.

    | outcome | natively | by a copy |
    |---|---|---|
    | `Acked` | ack | |
    | `Retried` within `native_retry_delay`, or on an ordered queue | release | |
    | `Retried` beyond it | | next generation with `not_before`, then ack |
    | `Snoozed` | release, where attempts are exact | same attempt, next generation, then ack |
    | `DeadLettered` | native dead-letter | body unchanged to `q-dlq`, then ack |
    """
    if isinstance(outcome, Acked):
        return _ACK
    if isinstance(outcome, DeadLettered):
        return _dead_letter(delivery, outcome, capabilities)
    return _retry(delivery, outcome, capabilities, now)


def outgoing(
    message: Message,
    capabilities: Capabilities,
    now: datetime,
    *,
    failure: Failure | None = None,
    cancellable: bool = False,
    foreign: Mapping[str, Any] | None = None,
    native_fairness: str | None = None,
) -> Outgoing:
    """The form in which a message goes to the driver: encoded, and delayed by no more than the backend takes.

    A message due later than that arrives early and hops: the Processor sees `not_before` and sends it on.

    Args:
        message: What is to be stored.
        capabilities: Of its queue.
        now: The present time.
        failure: What is to lie beside a copy.
        cancellable: Whether its sender wants a receipt.
        foreign: Of a copy: `Delivery.foreign`.
        native_fairness: Of a copy: `Delivery.fairness_key`.
    """
    delay = ZERO
    if message.not_before is not None:
        delay = max(ZERO, message.not_before - now)
        if capabilities.max_delay is not None:
            delay = min(delay, capabilities.max_delay)
    return Outgoing(
        id=message.id,
        queue=message.queue,
        body=wire.encode(message),
        delay=delay,
        native_id=message.native_id(),
        ordering_key=message.ordering_key if capabilities.ordering else None,
        fairness_key=(native_fairness or message.fairness_key) if capabilities.fairness else None,
        failure=failure,
        time_limit=None if message.time_limit is None else _time_limit(message.time_limit, capabilities),
        cancellable=cancellable,
        foreign=foreign,
    )


def _time_limit(limit: timedelta, capabilities: Capabilities) -> timedelta:
    # Sends with a longer one are refused. A copy of what another producer sent never is, or it would spin.
    longest = None if capabilities.extendable else capabilities.max_lease
    return limit if longest is None else min(limit, longest)


def _retry(delivery: Delivery, outcome: Retried | Snoozed, capabilities: Capabilities, now: datetime) -> Plan:
    delay = min(max(ZERO, outcome.delay), _END_OF_TIME - now)
    message = delivery.message
    stays = message is None or delivery.group is not None or not capabilities.copies
    if message is None or stays or _released(outcome, delay, capabilities):
        # A body that can't be decoded can't be copied; a copy would lose its place in an order; some queues take none.
        return Plan(final=_release(delivery, outcome, delay, capabilities))
    attempts = delivery.attempt if outcome.counted else max(0, delivery.attempt - 1)
    due = now + delay if delay else None
    copy = replace(message, queue=delivery.queue).retry_copy(attempt_base=attempts, not_before=due)
    return Plan(
        copies=(
            outgoing(
                copy,
                capabilities,
                now,
                failure=outcome.failure or delivery.failure,
                foreign=delivery.foreign,
                native_fairness=delivery.fairness_key,
            ),
        ),
        final=Ack(),
        on_copy_failure=_stay(delivery, outcome, capabilities),
        on_too_large=_stay(delivery, outcome, capabilities, delay),
    )


def _released(outcome: Retried | Snoozed, delay: timedelta, capabilities: Capabilities) -> bool:
    if capabilities.native_retry_delay is None or delay > capabilities.native_retry_delay:
        return False
    return outcome.counted or capabilities.attempt_exact


def _dead_letter(delivery: Delivery, outcome: DeadLettered, capabilities: Capabilities) -> Plan:
    if capabilities.native_dead_letter:
        return Plan(final=NativeDeadLetter(failure=outcome.failure))
    message = delivery.message
    generation = next_generation(max(outcome.failure.generation, message.generation if message else 0))
    copy = Outgoing(
        id=delivery.id,
        queue=dead_letter_queue(delivery.queue),
        body=delivery.body,
        native_id=native_copy_id(
            message.source if message else "",
            message.task if message else "",
            letter_name(delivery),
            generation,
        ),
        ordering_key=delivery.group,
        fairness_key=_fairness_key(delivery, capabilities),
        failure=replace(outcome.failure, generation=generation),
        foreign=delivery.foreign,
    )
    return Plan(copies=(copy,), final=Ack(), on_copy_failure=_stay(delivery, outcome, capabilities))


def _fairness_key(delivery: Delivery, capabilities: Capabilities) -> str | None:
    if not capabilities.fairness:
        return None
    return delivery.fairness_key or (delivery.message.fairness_key if delivery.message else None)


def letter_name(delivery: Delivery) -> str:
    """What tells a message that is dead-lettered, or redriven, from others under its id.

    What a body says of itself may be made up: of two under one id neither may swallow the other. The same one is the
    same again, however often a crash has it copied.
    """
    return f"{delivery.id} {hashlib.sha256(delivery.body).hexdigest()}"


def _release(delivery: Delivery, outcome: Retried | Snoozed, delay: timedelta, capabilities: Capabilities) -> Release:
    return Release(
        delay=_clamped(delay, capabilities),
        counted=outcome.counted,
        failure=outcome.failure or delivery.failure,
    )


def _stay(
    delivery: Delivery,
    outcome: Retried | Snoozed | DeadLettered,
    capabilities: Capabilities,
    wanted: timedelta | None = None,
) -> Release:
    """How it stays in its queue: away for as long as `wanted`, if the queue can, as no later copy will fit either."""
    delay = _clamped(COPY_FAILED_DELAY, capabilities)
    if wanted is not None:
        delay = min(wanted, capabilities.max_release or capabilities.native_retry_delay or ZERO)
    return Release(
        delay=delay,
        counted=isinstance(outcome, DeadLettered) or outcome.counted,
        failure=outcome.failure or delivery.failure,
    )


def _clamped(delay: timedelta, capabilities: Capabilities) -> timedelta:
    # What the lease still allows the driver knows, at the moment of its call and by the clock of its spans.
    return min(delay, capabilities.native_retry_delay or ZERO)
