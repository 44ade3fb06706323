"""Making queues: a convenience for development. In production they belong to the infrastructure's own code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from cloudq.core.message import dead_letter_queue, is_ordered
from cloudq.drivers.sqs.answers import value_of
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.hosts import is_url
from cloudq.drivers.sqs.limits import MAX_BYTES, seconds_up
from cloudq.drivers.sqs.urls import QueueUrls, place_of
from cloudq.errors import ConfigurationError, QueueNotFound

# The service's own dead-lettering is the backstop for messages that kill their worker: slack over any policy
# (semantics 8). A FIFO group's messages are received again whenever an earlier one fails.
MAX_RECEIVES: Final = 21
MAX_RECEIVES_FIFO: Final = 100

_RETENTION: Final = str(seconds_up(timedelta(days=14)))
_LEASE: Final = str(seconds_up(timedelta(minutes=2)))


def make(calls: Calls, urls: QueueUrls, queue: str) -> bool:
    """Makes the queue and its dead-letter queue, if they aren't there. Returns whether the queue was made.

    Raises:
        ConfigurationError: The queue is named by the URL of another region or account than the client's.
    """
    _refuse_elsewhere(calls, queue)
    dead = dead_letter_queue(queue)
    kind = {"MaximumMessageSize": str(MAX_BYTES), **({"FifoQueue": "true"} if is_ordered(queue) else {})}
    if not _exists(calls, urls, dead):
        _create(calls, urls, dead, {**kind, "MessageRetentionPeriod": _RETENTION})
    if _exists(calls, urls, queue):
        return False
    redrive = {
        "deadLetterTargetArn": urls.arn_of(dead),
        "maxReceiveCount": MAX_RECEIVES_FIFO if is_ordered(queue) else MAX_RECEIVES,
    }
    attributes = {
        **kind,
        # One day less than the dead-letter queue keeps them: standard queues count on from the first send.
        "MessageRetentionPeriod": str(seconds_up(timedelta(days=13))),
        "VisibilityTimeout": _LEASE,
        "RedrivePolicy": msgspec.json.encode(redrive).decode(),
    }
    _create(calls, urls, queue, attributes)
    return True


def _refuse_elsewhere(calls: Calls, queue: str) -> None:
    """What is made where another endpoint is set is of the client's region, whatever the URL names."""
    region = getattr(calls.client_for(queue).meta, "region_name", None)
    theirs = place_of(queue).region if is_url(queue) else None
    if theirs is not None and region is not None and theirs != region:
        raise ConfigurationError(
            f"{queue!r} is in region {theirs}, and queues are made in {region}", hint=f"the backend sqs://{theirs}"
        )


def _exists(calls: Calls, urls: QueueUrls, queue: str) -> bool:
    owner: dict[str, Any] = {"QueueOwnerAWSAccountId": place_of(queue).account} if is_url(queue) else {}
    try:
        answer = calls.make("get_queue_url", queue, QueueName=urls.native_name(queue), **owner)
    except QueueNotFound:
        return False
    value_of(answer, "QueueUrl", queue)
    return True


def _create(calls: Calls, urls: QueueUrls, queue: str, attributes: Mapping[str, str]) -> None:
    answer = calls.make("create_queue", queue, QueueName=urls.native_name(queue), Attributes=dict(attributes))
    url = value_of(answer, "QueueUrl", queue)
    if is_url(queue) and place_of(url).account != place_of(queue).account:
        raise ConfigurationError(
            f"made {url}, as the credentials are of another account than the one that {queue!r} names",
            hint="use that account's credentials; delete what was made",
        )
