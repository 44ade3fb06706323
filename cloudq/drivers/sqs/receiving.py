"""Handing messages over: from what SQS answers to a `Delivery`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from cloudq.core.clock import EPOCH
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.message import is_ordered
from cloudq.drivers.sqs import bodies
from cloudq.drivers.sqs.client import SqsClient
from cloudq.drivers.sqs.faults import translate
from cloudq.drivers.sqs.limits import MAX_BATCH, MAX_LEASE, MAX_WAIT, seconds_down, seconds_up
from cloudq.drivers.sqs.receipts import Receipt
from cloudq.drivers.sqs.sending import native_name

SYSTEM_ATTRIBUTES = ("ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "MessageGroupId")


def receive(
    client: SqsClient,
    url: str,
    queue: str,
    *,
    limit: int,
    wait: timedelta,
    lease: timedelta,
    attributes: Sequence[str] = SYSTEM_ATTRIBUTES,
) -> Sequence[Mapping[str, Any]]:
    """One call: up to 10 messages as SQS gives them."""
    try:
        answer = client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=max(1, min(limit, MAX_BATCH)),
            WaitTimeSeconds=seconds_down(min(wait, MAX_WAIT)),
            VisibilityTimeout=seconds_up(min(lease, MAX_LEASE)),
            MessageSystemAttributeNames=list(attributes),
            MessageAttributeNames=list(bodies.ATTRIBUTES),
        )
    except Exception as error:
        raise translate(error, queue) from error
    messages: Sequence[Mapping[str, Any]] = answer.get("Messages", ())
    return messages


def leased(message: Mapping[str, Any], url: str, queue: str, *, since: datetime, span: timedelta) -> Lease:
    """The lease on a message, counted from before the call that brought it."""
    hard_limit = since + MAX_LEASE
    expires_at = min(since + span, hard_limit)
    receipt = Receipt(url, message["ReceiptHandle"], since=since, expires_at=expires_at, hard_limit=hard_limit)
    return Lease(queue=queue, receipt=receipt, expires_at=expires_at, hard_limit=hard_limit)


def delivery(message: Mapping[str, Any], lease: Lease) -> Delivery:
    """What is handed over for a message of a queue."""
    moved_back = bodies.failure_of(message, bodies.DEAD)
    failure = bodies.failure_of(message, bodies.FAILURE) if moved_back is None else moved_back
    made = _delivery(message, lease, failure)
    if moved_back is None or made.message is None:
        return made
    # A dead letter that was moved back by the service's own means: unchanged, so it says how many attempts it had
    # used up, and a generation that its next dead letter would share (semantics 1, 7).
    again = made.message.redrive_copy(generation=moved_back.generation)
    return replace(made, message=again, attempt=made.deliveries, failure=None)


def dead_delivery(message: Mapping[str, Any], lease: Lease, failure: Failure) -> Delivery:
    """What is handed over for a dead letter."""
    return _delivery(message, lease, failure)


def count_of(message: Mapping[str, Any]) -> int:
    """How often it was received, this time included."""
    return max(1, int(_said(message, "ApproximateReceiveCount") or 1))


def moment(message: Mapping[str, Any], name: str) -> datetime | None:
    """A system attribute that is a time, in the milliseconds since 1970 that SQS writes."""
    said = _said(message, name)
    return None if said is None else EPOCH + timedelta(milliseconds=int(said))


def _delivery(message: Mapping[str, Any], lease: Lease, failure: Failure | None) -> Delivery:
    count = count_of(message)
    made = Delivery.of(
        bodies.body_of(message),
        native_id=message["MessageId"],
        runs=count,
        deliveries=count,
        lease=lease,
        first_received_at=moment(message, "ApproximateFirstReceiveTimestamp"),
        failure=failure,
        raw=message,
    )
    group = _said(message, "MessageGroupId")
    if group is None or not is_ordered(lease.queue):
        return made  # on a standard queue a group is a matter of fairness, not of order
    key = made.message.ordering_key if made.message else None
    # A key that SQS wouldn't take was stored by its hash.
    return replace(made, group=key if key is not None and native_name(key) == group else group)


def _said(message: Mapping[str, Any], name: str) -> str | None:
    said: str | None = message.get("Attributes", {}).get(name)
    return said
