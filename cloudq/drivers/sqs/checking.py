"""Checking queues that your infrastructure's code made: what of their settings loses messages, or stops them.

By what GetQueueAttributes tells (Amazon SQS API Reference, 2026-11). How long messages are hidden and polls wait makes
no difference: a worker says it with each call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from cloudq.core.message import dead_letter_queue, is_ordered
from cloudq.drivers.sqs.answers import value_of
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.limits import MAX_BYTES
from cloudq.drivers.sqs.making import MAX_RECEIVES, MAX_RECEIVES_FIFO
from cloudq.drivers.sqs.urls import QueueUrls
from cloudq.errors import QueueNotFound

Attributes = Mapping[str, str]

_SIZE: Final = "MaximumMessageSize"
_RETENTION: Final = "MessageRetentionPeriod"
_VISIBILITY: Final = "VisibilityTimeout"
_REDRIVE: Final = "RedrivePolicy"
_ALLOW: Final = "RedriveAllowPolicy"


def check(calls: Calls, urls: QueueUrls, queue: str) -> Iterator[str]:
    """What is wrong with the queue, or with its dead-letter queue, in words. A call or two for each."""
    dead = dead_letter_queue(queue)
    found, letters = _attributes(calls, urls, queue), _attributes(calls, urls, dead)
    if found is None:
        yield f"there is no queue {queue!r}: cloudq queues create {queue}"
    if letters is None:
        yield f"there is no dead-letter queue {dead!r}: cloudq queues create {queue}"
    if found is not None:
        yield from _of_queue(found, queue, None if letters is None else str(letters.get("QueueArn")), dead)
    if letters is not None:
        yield from _of_dead_letter_queue(letters, dead)
    if found is not None and letters is not None:
        yield from _of_both(found, letters, queue, dead)


def _attributes(calls: Calls, urls: QueueUrls, queue: str) -> Attributes | None:
    try:
        answer = calls.make("get_queue_attributes", queue, QueueUrl=urls.of(queue), AttributeNames=["All"])
    except QueueNotFound:
        return None
    attributes: Attributes = value_of(answer, "Attributes", queue)
    return attributes


def _of_queue(found: Attributes, queue: str, dead_arn: str | None, dead: str) -> Iterator[str]:
    yield from _size(found, queue)
    if _number(found, _VISIBILITY) == 0:
        yield (
            f"queue {queue!r} has {_VISIBILITY}=0: what Lambda is handed is handed over again at once; "
            "set it to six times the function's timeout, or to 120"
        )
    if _REDRIVE not in found:
        yield (
            f"queue {queue!r} has no {_REDRIVE}: a message that kills its worker each time goes round until it expires"
            f"; set one to {dead!r}"
        )
        return
    policy = _object(found[_REDRIVE])
    target, count = policy.get("deadLetterTargetArn"), _whole(policy.get("maxReceiveCount"))
    if dead_arn is not None and target != dead_arn:
        yield f"queue {queue!r} has a {_REDRIVE} to {target!r}, and cloudq looks for dead letters in {dead_arn!r}"
    least = MAX_RECEIVES_FIFO if is_ordered(queue) else MAX_RECEIVES
    if count is None or count < least:
        yield (
            f"queue {queue!r} has maxReceiveCount={count}: the service gives up before retry policies do; "
            f"set it to {least} at least"
        )


def _of_dead_letter_queue(letters: Attributes, dead: str) -> Iterator[str]:
    yield from _size(letters, dead)
    if _REDRIVE in letters:
        yield (
            f"the dead-letter queue {dead!r} has a {_REDRIVE} itself: each look at dead letters receives them, and "
            "after that many they would be moved on; take it away"
        )
    if _object(letters.get(_ALLOW, "{}")).get("redrivePermission") == "denyAll":
        yield f"the dead-letter queue {dead!r} has {_ALLOW} denyAll: the service may move nothing into it"


def _of_both(found: Attributes, letters: Attributes, queue: str, dead: str) -> Iterator[str]:
    own, theirs = _number(found, _RETENTION), _number(letters, _RETENTION)
    if own is None or theirs is None:
        return
    # On a standard queue the time counts on from the first send, on a FIFO queue it begins anew.
    if theirs < own or (theirs == own and not is_ordered(queue)):
        yield (
            f"the dead-letter queue {dead!r} keeps messages for {timedelta(seconds=theirs)}, and queue {queue!r} for "
            f"{timedelta(seconds=own)}: dead letters expire early; set its {_RETENTION} to 1209600, which is 14 days, "
            "and the queue's to less"
        )


def _size(attributes: Attributes, name: str) -> Iterator[str]:
    size = _number(attributes, _SIZE)
    if size is not None and size < MAX_BYTES:
        yield (
            f"queue {name!r} has {_SIZE}={size}, and SQS stores up to {MAX_BYTES}: larger messages are refused, and "
            f"copies of near that size lose their details; set it to {MAX_BYTES} (Terraform: max_message_size)"
        )


def _number(attributes: Attributes, name: str) -> int | None:
    return _whole(attributes.get(name))


def _whole(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _object(text: str) -> Mapping[str, Any]:
    try:
        value: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
    return value
