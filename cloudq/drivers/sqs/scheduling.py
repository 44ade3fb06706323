"""Delays longer than SQS's own: one-time schedules of Amazon EventBridge Scheduler, which send the message when due.

Facts are from EventBridge Scheduler's API (botocore's service model, 2021-06-30) and its user guide, as of 2026-11.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import replace

from cloudq.core.clock import Clock
from cloudq.core.driver import Outgoing, SendResult
from cloudq.core.message import dead_letter_queue
from cloudq.drivers.sqs import sending
from cloudq.drivers.sqs.answers import value_of
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.faults import code_of
from cloudq.drivers.sqs.limits import MAX_DELAY
from cloudq.drivers.sqs.urls import QueueUrls, place_of
from cloudq.errors import PermissionDenied

SchedulerClient: TypeAlias = Any
"""A botocore client of EventBridge Scheduler, or what behaves like one."""

# Far less than a date may lie ahead; what is due later is scheduled again when it arrives.
LONGEST: Final = timedelta(days=365)
# The most that a schedule is asked to hold. The API's model names no limit, so this is on the safe side: what is larger
# hops, as it does without schedules.
MAX_INPUT: Final = 256 * 1000

_TARGET: Final = "aws-sdk:sqs:sendMessage"


class Schedules:
    """Creates schedules.

    The target is SQS's `SendMessage` itself (a universal target), as the templated one takes no message attributes.
    If a message can't be sent when it is due, the service tries for a day, then puts it into the dead-letter queue.

    Args:
        calls: How to call the scheduler.
        urls: The queues' URLs.
        role: The ARN of the role that the service takes on to send.
        clock: Where the time comes from.
    """

    def __init__(self, calls: Calls, urls: QueueUrls, *, role: str, clock: Clock) -> None:
        self._calls = calls
        self._urls = urls
        self._role = role
        self._clock = clock

    def request(self, item: Outgoing, url: str) -> dict[str, Any] | None:
        """The parameters that schedule an item; `None` where it is too large for a schedule, or isn't all text."""
        made = sending.entry(0, replace(item, delay=timedelta(0)))
        text = _input(url, made) if isinstance(made, sending.Entry) else None
        if text is None:
            return None
        place = place_of(url)
        partition = self._role.split(":")[1]
        dead = self._urls.native_name(dead_letter_queue(item.queue))
        region = place.region or self._calls.client_for(item.queue).meta.region_name
        return {
            "Name": _name(f"{place.account} {place.name}", item),
            "ScheduleExpression": f"at({_second(self._clock.now() + item.delay):%Y-%m-%dT%H:%M:%S})",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": f"arn:{partition}:scheduler:::{_TARGET}",
                "RoleArn": self._role,
                "Input": text,
                "DeadLetterConfig": {"Arn": f"arn:{partition}:sqs:{region}:{place.account}:{dead}"},
            },
        }

    def store(self, item: Outgoing, request: dict[str, Any]) -> SendResult:
        """Creates the schedule. One that is there already is this very message, from an earlier try, or of its key."""
        try:
            value_of(self._calls.make("create_schedule", item.queue, **request), "ScheduleArn", item.queue)
        except Exception as error:  # noqa: BLE001 - reported for its item
            if error.__cause__ is not None and code_of(error.__cause__) == "ConflictException":
                return SendResult(duplicate=None if item.native_id is None else True)
            if isinstance(error, PermissionDenied):
                error.hint = (
                    "a producer needs scheduler:CreateSchedule, and iam:PassRole for the role of scheduler_role="
                )
            return SendResult(error=error)
        return SendResult()


def store(schedules: Schedules, calls: Calls, url: str, items: Sequence[Outgoing]) -> list[SendResult]:
    """Stores the items of one queue: what is delayed for longer than SQS delays, by schedules. A result each, in order.

    A message that no schedule takes goes to SQS with SQS's longest delay: it arrives early, and the worker sends it on.
    """
    results = [SendResult()] * len(items)
    direct: list[int] = []
    sent = list(items)
    for index, item in enumerate(items):
        request = schedules.request(item, url) if item.delay > MAX_DELAY else None
        if request is not None:
            results[index] = schedules.store(item, request)
            continue
        sent[index] = replace(item, delay=min(item.delay, MAX_DELAY))
        direct.append(index)
    if direct:
        stored = sending.store(calls, url, [sent[index] for index in direct])
        for index, result in zip(direct, stored, strict=True):
            results[index] = result
    return results


def _name(queue: str, item: Outgoing) -> str:
    """The same for a copy, for a key, and for a send that is tried again, so that a repeat finds its schedule there."""
    what = item.native_id or hashlib.sha256(item.body).hexdigest()
    return hashlib.sha256(f"{queue} {what}".encode()).hexdigest()


def _input(url: str, made: sending.Entry) -> str | None:
    attributes = made.parameters.get("MessageAttributes", {})
    if any("BinaryValue" in attribute for attribute in attributes.values()):
        return None
    parameters = {name: value for name, value in made.parameters.items() if name != "Id"}
    # The service replaces <aws.scheduler...> in an input; in JSON there is another way to write the bracket.
    text = msgspec.json.encode({"QueueUrl": url, **parameters}).decode().replace("<", "\\u003c")
    return text if len(text.encode()) <= MAX_INPUT else None


def _second(moment: datetime) -> datetime:
    """The next full second, in UTC: an expression has no parts of one, and early would be a hop more."""
    moment = moment.astimezone(UTC)
    return moment if not moment.microsecond else moment.replace(microsecond=0) + timedelta(seconds=1)
