"""Handing messages over: from what the SDK gives to a `Delivery`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from azure.servicebus import ServiceBusReceivedMessage
from msgspec.structs import replace

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.drivers.service_bus.properties import failure_in, group_of
from cloudq.drivers.service_bus.unreadable import Unreadable

REASON: Final = "DeadLetterReason"
DESCRIPTION: Final = "DeadLetterErrorDescription"
# What the service says where it moved a message by itself ("Overview of Service Bus dead-letter queues", 2026-11).
_BY_THE_SERVICE: Final = {
    "MaxDeliveryCountExceeded": "worker died or lease expired {count} times, and the queue's own limit was reached",
    "TTLExpiredException": "nobody took it before its time to live was over",
    "HeaderSizeExceeded": "its properties had grown too large",
    "Session ID is null": "it has no session, and its queue needs one",
    "MaxTransferHopCountExceeded": "it was forwarded too often",
}


def delivery(message: ServiceBusReceivedMessage, lease: Lease) -> Delivery:
    """The delivery of a queue's message."""
    return _delivery(message, lease, failure_of(message))


def dead_delivery(message: ServiceBusReceivedMessage, lease: Lease) -> Delivery:
    """The delivery of a dead letter."""
    return _delivery(message, lease, why_dead(message))


def body_of(message: ServiceBusReceivedMessage) -> bytes:
    """The bytes of the body, whatever kind of AMQP body it has."""
    return _read(message)[0]


def _read(message: ServiceBusReceivedMessage) -> tuple[bytes, str | None]:
    """The bytes of the body, and why it is nothing of ours, where it is neither data nor a text."""
    body = message.body
    if isinstance(body, bytes):
        return body, None
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass"), None
    if isinstance(body, Mapping):
        return _written(body), _no_data("map")
    is_in_parts = isinstance(body, Iterator)
    parts = list(body) if is_in_parts else body
    if is_in_parts and parts and isinstance(parts[0], Unreadable):
        return bytes(parts[0]), f"the message can't be read by azure-servicebus ({parts[0].why})"
    try:
        return b"".join(parts), None  # whose parts are bytes: a number's bytes would be as many zeros
    except TypeError:
        if is_in_parts:
            return _written(parts), _no_data("sequence")
        return _written(body), _no_data("list" if isinstance(body, list) else f"value of type {type(body).__name__}")


def _no_data(kind: str) -> str:
    return f"the body is an AMQP {kind}, not data: send the event as JSON, in the bytes of a data section"


def _written(body: object) -> bytes:
    return repr(body).encode("utf-8", "replace")


def properties_of(message: ServiceBusReceivedMessage) -> Mapping[str, Any]:
    """The application properties by name, texts as texts."""
    return {_text(name): _text(value) for name, value in (message.application_properties or {}).items()}


def failure_of(message: ServiceBusReceivedMessage) -> Failure | None:
    """The failure that is kept beside the body, if one is and can be read."""
    return failure_in(properties_of(message))


def why_dead(message: ServiceBusReceivedMessage) -> Failure | None:
    """Why a message lies among the dead letters: as a worker of ours said, or as the service says."""
    properties = properties_of(message)
    reason, description = properties.get(REASON), properties.get(DESCRIPTION)
    ours = failure_of(message)
    if ours is not None and (reason is None or reason == ours.reason or reason not in _BY_THE_SERVICE):
        return ours
    if reason is None and description is None:
        return ours
    count = message.delivery_count or 0
    text = _BY_THE_SERVICE.get(str(reason), "").format(count=count)
    said = ": ".join(str(part) for part in (text, reason, description) if part)
    made = Failure(reason=said, deliveries=count)
    return made if ours is None else replace(ours, reason=said, deliveries=max(count, ours.deliveries))


def enqueued_at(message: ServiceBusReceivedMessage) -> datetime | None:
    """When the service stored it."""
    moment = message.enqueued_time_utc
    return None if moment is None else moment.astimezone(UTC)


def deliveries_of(message: ServiceBusReceivedMessage) -> int:
    """How often it was handed over, this time included: the service counts those before."""
    return (message.delivery_count or 0) + 1


def locked_until(message: ServiceBusReceivedMessage) -> datetime | None:
    """When its lock ends, by the service's clock; `None` where it doesn't say."""
    moment = message.locked_until_utc
    return None if moment is None else moment.astimezone(UTC)


def _delivery(message: ServiceBusReceivedMessage, lease: Lease, failure: Failure | None) -> Delivery:
    count = deliveries_of(message)
    body, foreign = _read(message)
    made = Delivery.of(
        body,
        native_id=str(message.message_id or message.sequence_number),
        runs=count,
        deliveries=count,
        # A release isn't counted, nor is the end of a session's link.
        copy=None if message.sequence_number is None else str(message.sequence_number),
        lease=lease,
        stored_at=enqueued_at(message),
        failure=failure,
        raw=message,
    )
    if foreign is not None:
        made = replace(made, undecodable=foreign, message=None)
    session = message.session_id
    if session is None:
        return made
    return replace(made, group=group_of(session, made.message.ordering_key if made.message else None))


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
