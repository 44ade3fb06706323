"""Handing messages over: from what SQS answers to a `Delivery`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.message import Message, is_ordered
from cloudq.core.redriving import redriven_copy
from cloudq.drivers.sqs import bodies
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.limits import MAX_BATCH, MAX_LEASE, MAX_WAIT, seconds_down, seconds_up
from cloudq.drivers.sqs.receipts import Receipt
from cloudq.drivers.sqs.sending import key_on_sqs
from cloudq.errors import BackendUnavailable

SYSTEM_ATTRIBUTES: Final = (
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SentTimestamp",
    "MessageGroupId",
)
_NO_WAIT: Final = timedelta(0)


class Granted(NamedTuple):
    """What a receive grants: for all its messages the same, counted from before the call.

    Attributes:
        since: When the leases began, at the latest, by `Clock.elapsed`.
        ends: When they end.
        hard_end: When they end however often they are extended.
        expires_at: As `ends`, by the wall clock, for show.
        hard_limit: As `hard_end`, by the wall clock.
    """

    since: timedelta
    ends: timedelta
    hard_end: timedelta
    expires_at: datetime
    hard_limit: datetime

    def lease(self, message: Mapping[str, Any], url: str, queue: str) -> Lease:
        """The lease on one of the messages."""
        receipt = Receipt(url, message["ReceiptHandle"], since=self.since, ends=self.ends, hard_end=self.hard_end)
        return Lease(
            queue=queue,
            receipt=receipt,
            expires_at=self.expires_at,
            hard_limit=self.hard_limit,
            ends=self.ends,
            hard_end=self.hard_end,
        )


def grant(clock: Clock, span: timedelta) -> Granted:
    """What a receive for leases of `span` grants that begins now."""
    span, since, now = min(span, MAX_LEASE), clock.elapsed(), clock.now()
    return Granted(since, since + span, since + MAX_LEASE, now + span, now + MAX_LEASE)


def receive(
    calls: Calls,
    url: str,
    queue: str,
    *,
    limit: int,
    wait: timedelta,
    lease: timedelta,
    attributes: Sequence[str] = SYSTEM_ATTRIBUTES,
) -> Sequence[Mapping[str, Any]]:
    """One call: up to 10 messages as SQS gives them.

    Raises:
        BackendError: It failed, or brought something that isn't a message. Messages that it brought come back after
            their leases.
    """
    wait = max(_NO_WAIT, min(wait, MAX_WAIT))
    answer = calls.make(
        "receive_message",
        queue,
        wait=wait,
        QueueUrl=url,
        MaxNumberOfMessages=max(1, min(limit, MAX_BATCH)),
        WaitTimeSeconds=seconds_down(wait),
        VisibilityTimeout=seconds_up(min(lease, MAX_LEASE)),
        MessageSystemAttributeNames=list(attributes),
        MessageAttributeNames=list(bodies.ATTRIBUTES),
    )
    messages: Sequence[Mapping[str, Any]] = answer.get("Messages") or ()
    for message in messages:
        if not (
            message
            and message.get("ReceiptHandle")
            and message.get("MessageId")
            and message.get("Body")
            and isinstance(message["Body"], str)
        ):
            names = ("ReceiptHandle", "MessageId", "Body")
            missing = [name for name in names if not (message and isinstance(message.get(name), str) and message[name])]
            raise BackendUnavailable(f"queue {queue!r}: Amazon SQS handed over a message without {missing}")
    return messages


def delivery(message: Mapping[str, Any], lease: Lease) -> Delivery:
    """The delivery of a queue's message."""
    if not message.get("MessageAttributes"):  # as nearly always
        return _delivery(message, lease, None)
    moved_back = bodies.failure_of(message, bodies.DEAD)
    failure = bodies.failure_of(message, bodies.FAILURE) if moved_back is None else moved_back
    made = _delivery(message, lease, failure)
    if moved_back is None or made.message is None:
        return made
    # A dead letter that was moved back by the service's own means: unchanged, so it says how many attempts it had
    # used up, and a generation that its next dead letter would share (semantics 1, 7).
    again = redriven_copy(made.message, moved_back)
    return replace(made, message=again, attempt=made.deliveries, failure=None)


def dead_delivery(message: Mapping[str, Any], lease: Lease, failure: Failure) -> Delivery:
    """The delivery of a dead letter."""
    return _delivery(message, lease, failure)


def count_of(message: Mapping[str, Any]) -> int:
    """How often it was received, this time included.

    Raises:
        BackendUnavailable: What was said of it is no number.
    """
    said = _said(message, "ApproximateReceiveCount")
    try:
        return max(1, int(said or 1))
    except ValueError as error:
        raise no_number("ApproximateReceiveCount", said) from error


def moment(message: Mapping[str, Any], name: str) -> datetime | None:
    """A system attribute that is a time, in the milliseconds since 1970 that SQS writes.

    Raises:
        BackendUnavailable: It is no time.
    """
    said = _said(message, name)
    try:
        return None if said is None else datetime.fromtimestamp(int(said) / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:  # OSError: where the C library knows no such year
        raise no_number(name, said) from error


def _delivery(message: Mapping[str, Any], lease: Lease, failure: Failure | None) -> Delivery:
    count = count_of(message)
    made = Delivery.of(
        bodies.body_of(message),
        native_id=message["MessageId"],
        runs=count,
        deliveries=count,
        copy=message["MessageId"],
        lease=lease,
        first_received_at=moment(message, "ApproximateFirstReceiveTimestamp"),
        stored_at=moment(message, "SentTimestamp"),
        failure=failure,
        raw=message,
        foreign=bodies.foreign_of(message) if message.get("MessageAttributes") else None,
    )
    shared_by = _said(message, "MessageGroupId")
    if shared_by is None:
        return made
    if not is_ordered(lease.queue):
        return replace(made, fairness_key=shared_by)
    return replace(made, group=group_of(message, lease.queue, made.message))


def group_of(native: Mapping[str, Any], queue: str, message: Message | None) -> str | None:
    """The ordering key in force; none on a standard queue, where a group is a matter of fairness, not of order."""
    group = _said(native, "MessageGroupId")
    if group is None or not is_ordered(queue):
        return None
    key = message.ordering_key if message is not None else None
    # A key that SQS wouldn't take was stored by its hash.
    return key if key is not None and key_on_sqs(key) == group else group


def no_number(name: str, said: str | None) -> BackendUnavailable:
    """What a system attribute is refused with that should be a number."""
    return BackendUnavailable(f"Amazon SQS handed over a message whose {name} is {said!r}")


def _said(message: Mapping[str, Any], name: str) -> str | None:
    said: str | None = message.get("Attributes", {}).get(name)
    return said
