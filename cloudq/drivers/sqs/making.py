"""Making queues: a convenience for development. In production they belong to the infrastructure's own code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from cloudq.core.message import dead_letter_queue, is_ordered
from cloudq.drivers.sqs.client import SqsClient
from cloudq.drivers.sqs.faults import translate
from cloudq.drivers.sqs.limits import seconds_up
from cloudq.drivers.sqs.urls import QueueUrls
from cloudq.errors import QueueNotFound

# The service's own dead-lettering is the backstop for messages that kill their worker: slack over any policy
# (semantics 8). A FIFO group's messages are received again whenever an earlier one fails.
MAX_RECEIVES: Final = 20
MAX_RECEIVES_FIFO: Final = 100

_RETENTION: Final = str(seconds_up(timedelta(days=14)))
_LEASE: Final = str(seconds_up(timedelta(minutes=2)))


def make(client: SqsClient, urls: QueueUrls, queue: str) -> bool:
    """Makes the queue and its dead-letter queue, if they aren't there. Returns whether the queue was made."""
    dead = dead_letter_queue(queue)
    kind = {"FifoQueue": "true"} if is_ordered(queue) else {}
    if not _exists(client, urls, dead):
        _made(client, urls, dead, {**kind, "MessageRetentionPeriod": _RETENTION})
    if _exists(client, urls, queue):
        return False
    redrive = {
        "deadLetterTargetArn": _arn(client, urls, dead),
        "maxReceiveCount": MAX_RECEIVES_FIFO if kind else MAX_RECEIVES,
    }
    attributes = {
        **kind,
        # One day less than the dead-letter queue keeps them: standard queues count on from the first send.
        "MessageRetentionPeriod": str(seconds_up(timedelta(days=13))),
        "VisibilityTimeout": _LEASE,
        "RedrivePolicy": msgspec.json.encode(redrive).decode(),
    }
    _made(client, urls, queue, attributes)
    return True


def _exists(client: SqsClient, urls: QueueUrls, queue: str) -> bool:
    try:
        client.get_queue_url(QueueName=urls.native_name(queue))
    except Exception as error:
        meant = translate(error, queue)
        if isinstance(meant, QueueNotFound):
            return False
        raise meant from error
    return True


def _made(client: SqsClient, urls: QueueUrls, queue: str, attributes: Mapping[str, str]) -> None:
    try:
        client.create_queue(QueueName=urls.native_name(queue), Attributes=dict(attributes))
    except Exception as error:
        raise translate(error, queue) from error


def _arn(client: SqsClient, urls: QueueUrls, queue: str) -> str:
    try:
        answer = client.get_queue_attributes(QueueUrl=urls.of(queue), AttributeNames=["QueueArn"])
    except Exception as error:
        raise translate(error, queue) from error
    arn: str = answer["Attributes"]["QueueArn"]
    return arn
