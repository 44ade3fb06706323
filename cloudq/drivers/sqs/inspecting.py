"""Reading how a queue is set up, and what this process may do with it: calls that change nothing.

By what GetQueueAttributes tells (Amazon SQS API Reference, 2026-11).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from cloudq.core.clock import Clock
from cloudq.core.message import dead_letter_queue
from cloudq.core.queue_settings import QueueSettings, ahead_of
from cloudq.drivers.sqs.answers import value_of
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.urls import QueueUrls
from cloudq.errors import BackendError, PermissionDenied, QueueNotFound, TransientError

# Refused by the service for every caller, once it has looked at who that is: nothing is received, stored or changed.
_NOTHING: Final[Mapping[str, Any]] = {"Entries": []}
# It hands over ten at most. What a stand-in hands over all the same isn't hidden from others for a moment.
_TOO_MANY: Final[Mapping[str, Any]] = {"MaxNumberOfMessages": 11, "VisibilityTimeout": 0, "WaitTimeSeconds": 0}
_SEND: Final = ("send_message_batch", _NOTHING, "sqs:SendMessage")
_WORK: Final = (
    ("receive_message", _TOO_MANY, "sqs:ReceiveMessage"),
    ("delete_message_batch", _NOTHING, "sqs:DeleteMessage"),
    ("change_message_visibility_batch", _NOTHING, "sqs:ChangeMessageVisibility"),
)


def settings(calls: Calls, urls: QueueUrls, queue: str, clock: Clock) -> QueueSettings | None:
    """How the queue is set up, or `None` if there is none. A call, and one for its URL where that isn't known."""
    try:
        answer = calls.make("get_queue_attributes", queue, QueueUrl=urls.of(queue), AttributeNames=["All"])
    except QueueNotFound:
        return None
    found: Mapping[str, str] = value_of(answer, "Attributes", queue)
    redrive = _object(found.get("RedrivePolicy"))
    return QueueSettings(
        name=urls.native_name(queue),
        resource=found.get("QueueArn"),
        ordered=found.get("FifoQueue") == "true",
        lease=_seconds(found, "VisibilityTimeout"),
        max_deliveries=_whole(redrive.get("maxReceiveCount")),
        dead_letters_to=_name(redrive["deadLetterTargetArn"]) if "deadLetterTargetArn" in redrive else None,
        dead_letters_from=_sources(_object(found.get("RedriveAllowPolicy"))),
        retention=_seconds(found, "MessageRetentionPeriod"),
        max_message=_whole(found.get("MaximumMessageSize")),
        delay=_seconds(found, "DelaySeconds") or timedelta(0),
        encrypted=_encrypted(found),
        ahead=_ahead(answer, clock),
    )


def missing_permissions(calls: Calls, urls: QueueUrls, queue: str, *, works: bool) -> Iterator[str]:
    """The actions that are denied, with the queue's name. A call for each, which the service refuses in any case.

    A worker also sends to the dead-letter queue.

    Raises:
        TransientError: The service can't be reached, or is busy: nothing is known.
    """
    wanted = [(queue, one) for one in (_SEND, *(_WORK if works else ()))]
    if works:
        wanted.append((dead_letter_queue(queue), _SEND))
    for name, (operation, parameters, action) in wanted:
        try:
            calls.make(operation, name, QueueUrl=urls.of(name), **parameters)
        except PermissionDenied:
            yield f"{action} on {urls.native_name(name)}"
        except TransientError:
            raise  # it says nothing of permissions
        except BackendError:
            continue  # the refusal that was asked for; or there is no such queue


def _encrypted(found: Mapping[str, str]) -> bool | None:
    """By SQS's own keys, or by one of KMS; `None` where the service says neither, as stand-ins may."""
    if found.get("KmsMasterKeyId"):
        return True
    managed = found.get("SqsManagedSseEnabled")
    return None if managed is None else managed == "true"


def _sources(policy: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The queues whose dead letters a RedriveAllowPolicy lets in."""
    match policy.get("redrivePermission"):
        case "denyAll":
            return ()
        case "byQueue":
            return tuple(_name(arn) for arn in policy.get("sourceQueueArns") or ())
        case _:
            return None


def _ahead(answer: Mapping[str, Any], clock: Clock) -> timedelta | None:
    """How far a clock is ahead of the `Date` of an answer's headers."""
    return ahead_of(((answer.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}).get("date"), clock.now())


def _name(arn: object) -> str:
    return str(arn).rpartition(":")[2]


def _seconds(attributes: Mapping[str, str], name: str) -> timedelta | None:
    number = _whole(attributes.get(name))
    return None if number is None else timedelta(seconds=number)


def _whole(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        value: dict[str, Any] = msgspec.json.decode(text or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
    return value
