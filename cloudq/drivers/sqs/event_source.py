"""What Lambda's event source mapping hands to a function: from its event to deliveries. Needs no SDK.

The event's form: AWS Lambda Developer Guide, "Using Lambda with Amazon SQS", example events (read in 2026-11). Its
records are what `ReceiveMessage` answers, with other names: `body` for `Body`, `stringValue` for `StringValue`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import is_dead_letter_queue, is_ordered
from cloudq.drivers.sqs import receiving
from cloudq.drivers.sqs.limits import MAX_LEASE
from cloudq.drivers.sqs.receipts import Receipt
from cloudq.errors import BackendUnavailable, PushRefused

SOURCE: Final = "aws:sqs"
# The service counts the 12 hours from the receive, which was before the invocation: by the mapping's window, which is
# five minutes at most, and by the mapping's own tries.
HANDED_OVER: Final = timedelta(minutes=10)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What the app's URL says of its queues.

    Attributes:
        region: Their region, or `None` for any.
        prefix: What their names on SQS start with.
        account: The account that owns them, or `None` for any.
    """

    region: str | None = None
    prefix: str = ""
    account: str | None = None


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One record of an event.

    Attributes:
        id: The service's id of the message, which the answer names it by.
        account: The account that owns the queue.
        group: On a FIFO queue the group as the service has it, on others `None`.
        handle: The receipt handle.
        delivery: The delivery. Its lease has no receipt yet: that takes the queue's URL, and so a client.
    """

    id: str
    account: str
    group: str | None
    handle: str
    delivery: Delivery

    def __repr__(self) -> str:
        """Without the handle: anyone who reads it could settle the message."""
        return f"Arrival(id={self.id!r}, delivery={self.delivery!r})"


def arrivals(event: object, origin: Origin, *, now: datetime, until: datetime, elapsed: timedelta) -> list[Arrival]:
    """The deliveries of an event, in its order.

    Args:
        event: What the function was invoked with.
        origin: Which queues are the app's.
        now: When the function was invoked.
        until: When it ends. Until then the leases are taken to last: a mapping isn't made with a queue whose
            visibility timeout is shorter than the function's timeout, and no event says how long it is.
        elapsed: When the function was invoked, by `Clock.elapsed`.

    Raises:
        PushRefused: It isn't an event of a mapping of such a queue. Nothing of it was run.
    """
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, Sequence) or isinstance(records, (str, bytes)):
        kind = "one of EventBridge" if isinstance(event, Mapping) and "detail-type" in event else "of another kind"
        raise PushRefused(
            f"the event has no Records, so it isn't from an SQS queue but {kind}",
            hint="invoke the function by an event source mapping of an SQS queue; to run a task, send it to the queue",
        )
    granted = receiving.Granted(
        since=elapsed - HANDED_OVER,
        ends=elapsed + (until - now),
        hard_end=elapsed + MAX_LEASE - HANDED_OVER,
        expires_at=until,
        hard_limit=now + MAX_LEASE - HANDED_OVER,
    )
    return [_arrival(record, origin, granted) for record in records]


def lease_of(arrival: Arrival, url: str) -> Lease:
    """The arrival's lease with what settles it, once the queue's URL is known."""
    lease = arrival.delivery.lease
    hard_end = lease.hard_end or lease.ends  # `arrivals` gives each one both
    receipt = Receipt(url, arrival.handle, since=hard_end - MAX_LEASE, ends=lease.ends, hard_end=hard_end)
    return replace(lease, receipt=receipt)


def _arrival(record: object, origin: Origin, granted: receiving.Granted) -> Arrival:
    if not isinstance(record, Mapping):
        raise PushRefused(f"a record of the event isn't an object but a {type(record).__name__}")
    source = record.get("eventSource")
    if source != SOURCE:
        raise PushRefused(
            f"a record of the event is of {source!r}, not of {SOURCE!r}",
            hint="give other sources a function of their own",
        )
    try:
        region, account, name = str(record["eventSourceARN"]).split(":")[3:6]
        message = _as_received(record)
        queue = _queue(origin, region, account, name)
        lease = replace(granted.lease(message, "", queue), receipt=None)
        delivery = receiving.delivery(message, lease)
        group = str(message["Attributes"].get("MessageGroupId", "")) if is_ordered(queue) else None
        return Arrival(
            id=message["MessageId"],
            account=account,
            group=group,
            handle=message["ReceiptHandle"],
            delivery=replace(delivery, raw=record),
        )
    except (AttributeError, BackendUnavailable, KeyError, TypeError, ValueError) as error:
        raise PushRefused(
            f"a record of the event isn't as Lambda writes it: {type(error).__name__}: {error}",
            hint="invoke the function by an event source mapping of an SQS queue",
        ) from error


def _queue(origin: Origin, region: str, account: str, name: str) -> str:
    """The queue's name in cloudq, if it is one of the URL's."""
    for what, theirs, ours in (("region", region, origin.region), ("account", account, origin.account)):
        if ours is not None and theirs != ours:
            raise PushRefused(
                f"queue {name!r} of the event is in {what} {theirs}, but the app's URL says {ours}",
                hint="make the URL (CLOUDQ_URL) that of the function's queue",
            )
    queue = name.removeprefix(origin.prefix)
    if not name.startswith(origin.prefix) or not queue:
        raise PushRefused(
            f"the app's URL says that its queues' names start with {origin.prefix!r}, and {name!r} doesn't",
            hint="give the URL (CLOUDQ_URL) the queue's prefix, or the function another queue",
        )
    if is_dead_letter_queue(queue):
        raise PushRefused(
            f"{name!r} is a dead-letter queue: what is in it isn't run",
            hint="redrive dead letters with `cloudq dlq redrive`, and take this event source away from the function",
        )
    return queue


def _as_received(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record under the names that `ReceiveMessage` gives it."""
    return {
        "MessageId": _text(record["messageId"]),
        "ReceiptHandle": _text(record["receiptHandle"]),
        "Body": _text(record["body"]),
        "Attributes": dict(record.get("attributes") or {}),
        "MessageAttributes": {
            name: _attribute(attribute) for name, attribute in (record.get("messageAttributes") or {}).items()
        },
    }


def _attribute(attribute: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"DataType": attribute.get("dataType", "String")}
    if (text := attribute.get("stringValue")) is not None:
        made["StringValue"] = text
    if (encoded := attribute.get("binaryValue")) is not None:
        made["BinaryValue"] = _decoded(encoded)  # JSON has no bytes, so Lambda writes them in base64
    return made


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return encoded.encode("utf-8", "surrogatepass")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.100} is not a string")
    return value
