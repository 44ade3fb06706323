"""Messages between the wire and the broker.

The body, the properties and everything else that the service doesn't change stay the bytes that the sender encoded.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from cloudq.emulators.service_bus.amqp.encoding import encode, encode_described, encode_list, encode_map
from cloudq.emulators.service_bus.amqp.errors import AmqpError, DecodeError, ErrorCondition
from cloudq.emulators.service_bus.amqp.sections import BODIES, Section, list_of, map_of, split
from cloudq.emulators.service_bus.amqp.types import Described, Int, Symbol, Timestamp, UByte, UInt
from cloudq.emulators.service_bus.broker.api import Message, MessageState, Received
from cloudq.emulators.service_bus.dialect import names

_MILLISECOND = timedelta(milliseconds=1)
_UINT_MAX = 2**32 - 1
# What the service states itself: a sender's own value isn't passed on.
_STATED: Final = frozenset(
    (
        names.SEQUENCE_NUMBER,
        names.ENQUEUED_SEQUENCE_NUMBER,
        names.ENQUEUED_TIME,
        names.LOCKED_UNTIL,
        names.MESSAGE_STATE,
        names.DEAD_LETTER_SOURCE,
    )
)
_KEY_SEQUENCE_NUMBER, _KEY_ENQUEUED_SEQUENCE_NUMBER, _KEY_ENQUEUED_TIME, _KEY_LOCKED_UNTIL = (
    encode(name)
    for name in (names.SEQUENCE_NUMBER, names.ENQUEUED_SEQUENCE_NUMBER, names.ENQUEUED_TIME, names.LOCKED_UNTIL)
)
_KEY_MESSAGE_STATE, _KEY_DEAD_LETTER_SOURCE = encode(names.MESSAGE_STATE), encode(names.DEAD_LETTER_SOURCE)
_KEY_LOCK_TOKEN = encode(names.LOCK_TOKEN)
_LONG, _TIMESTAMP = struct.Struct(">Bq"), struct.Struct(">Bq")


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an encoded message that are sent again.

    Attributes:
        durable: As the sender said; `None` where nothing was.
        priority: As the sender said; `None` where nothing was.
        delivery_annotations: Encoded keys and values, in turns, of those but for the lock's token.
        annotations: Encoded keys and values, in turns, of annotations that aren't the service's.
        properties: The section, encoded; may be empty.
        application_properties: The section, encoded; may be empty.
        rest: The body and the footer, encoded.
    """

    durable: bool | None
    priority: int | None
    delivery_annotations: tuple[bytes, ...]
    annotations: tuple[bytes, ...]
    properties: bytes
    application_properties: bytes
    rest: bytes


class WireMessage(Message, frozen=True, kw_only=True):
    """A message that came over the wire."""

    layout: Layout


class _Header(msgspec.Struct, array_like=True):
    durable: bool | None = None
    priority: int | None = None
    time_to_live: int | None = None


# Positions in the properties section (AMQP 1.0, part 3.2.4).
_MESSAGE_ID, _TO, _SUBJECT, _REPLY_TO, _CORRELATION_ID, _CONTENT_TYPE, _GROUP_ID, _REPLY_TO_GROUP_ID = (
    0, 2, 3, 4, 5, 6, 10, 12
)  # fmt: skip
_PROPERTY_COUNT = 13


def parse(payload: bytes) -> WireMessage:
    """Reads what the broker needs of an encoded message.

    Raises:
        AmqpError: The bytes are no message, or a field that the service reads is of the wrong type.
    """
    header: list[object] = []
    delivery_annotations: dict[object, object] = {}
    annotations: dict[object, object] = {}
    properties: list[object] = []
    application_properties: dict[object, object] = {}
    raw = {Section.PROPERTIES: b"", Section.APPLICATION_PROPERTIES: b""}
    rest: list[bytes] = []
    for part in split(payload):
        section = part.section
        if section is Section.HEADER:
            header = list_of(payload, part)
        elif section is Section.DELIVERY_ANNOTATIONS:
            delivery_annotations = map_of(payload, part)
        elif section is Section.MESSAGE_ANNOTATIONS:
            annotations = map_of(payload, part)
        elif section is Section.PROPERTIES:
            properties = list_of(payload, part)
            raw[section] = payload[part.start : part.end]
        elif section is Section.APPLICATION_PROPERTIES:
            application_properties = map_of(payload, part)
            raw[section] = payload[part.start : part.end]
        elif section in BODIES or section is Section.FOOTER:
            rest.append(payload[part.start : part.end])
    header += [None] * (5 - len(header))
    properties += [None] * (_PROPERTY_COUNT - len(properties))
    durable, priority, ttl = header[:3]
    due = annotations.get(names.SCHEDULED_ENQUEUE_TIME)
    return WireMessage(
        payload=payload,
        message_id=_text(properties[_MESSAGE_ID]),
        session_id=_string("group-id", properties[_GROUP_ID]),
        partition_key=_key(names.PARTITION_KEY, annotations.get(names.PARTITION_KEY)),
        time_to_live=None if ttl is None else _integer("ttl", ttl) * _MILLISECOND,
        scheduled_enqueue_time=None if due is None else names.from_millis(_integer("scheduled-enqueue-time", due)),
        correlation_id=_text(properties[_CORRELATION_ID]),
        subject=_string("subject", properties[_SUBJECT]),
        to=_text(properties[_TO]),
        reply_to=_text(properties[_REPLY_TO]),
        reply_to_session_id=_string("reply-to-group-id", properties[_REPLY_TO_GROUP_ID]),
        content_type=_string("content-type", properties[_CONTENT_TYPE]),
        application_properties=_named(application_properties),
        layout=Layout(
            durable=None if durable is None else durable is True,
            priority=None if priority is None else _integer("priority", priority),
            delivery_annotations=_encoded(delivery_annotations, without=(names.LOCK_TOKEN,)),
            annotations=_encoded(annotations, without=_STATED),
            properties=raw[Section.PROPERTIES],
            application_properties=raw[Section.APPLICATION_PROPERTIES],
            rest=b"".join(rest),
        ),
    )


def _encoded(annotations: dict[object, object], without: Collection[object]) -> tuple[bytes, ...]:
    return tuple(
        encoded for key, value in annotations.items() if key not in without for encoded in (encode(key), encode(value))
    )


def parse_batch(payload: bytes) -> list[WireMessage]:
    """Reads the messages of a batch. Raises `AmqpError` as `parse`, and if there are none."""
    from cloudq.emulators.service_bus.amqp.sections import data_of

    messages = [parse(data_of(payload, part)) for part in split(payload) if part.section is Section.DATA]
    if not messages:
        raise DecodeError("a batch has no messages")
    return messages


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.hex() if isinstance(value, bytes) else str(value)


def _key(name: str, value: object) -> str | None:
    # azure-servicebus sends a message that it has received with its keys as bytes.
    return _string(name, value.decode(errors="replace") if isinstance(value, bytes) else value)


def _string(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    raise AmqpError(ErrorCondition.INVALID_FIELD, f"{name} is a string, not a {type(value).__name__}")


def _integer(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise AmqpError(ErrorCondition.INVALID_FIELD, f"{name} is a number, not a {type(value).__name__}")


def _named(properties: dict[object, object]) -> dict[str, object]:
    for name in properties:
        if not isinstance(name, str):
            raise AmqpError(ErrorCondition.INVALID_FIELD, f"the name of an application property is {name!r}")
    return {str(name): value for name, value in properties.items()}


def layout_of(message: Message) -> Layout:
    """The message's parts."""
    return message.layout if isinstance(message, WireMessage) else parse(message.payload).layout


def encode_received(received: Received) -> bytes:
    """The message as a receiver gets it: as it was sent, with what the broker knows about it."""
    layout = layout_of(received.message)
    ttl = received.time_to_live
    parts = [
        encode_described(
            Section.HEADER,
            encode_list(
                (
                    encode(layout.durable),
                    b"\x40" if layout.priority is None else encode(UByte(layout.priority)),
                    b"\x40" if ttl is None else encode(UInt(min(ttl // _MILLISECOND, _UINT_MAX))),
                    b"\x40",
                    encode(UInt(received.delivery_count)),
                )
            ),
        )
    ]
    # As the service does: there is such a section also where nothing is in it.
    delivery = list(layout.delivery_annotations)
    if received.lock_token is not None:
        delivery += (_KEY_LOCK_TOKEN, b"\x98" + received.lock_token.bytes)
    parts.append(encode_described(Section.DELIVERY_ANNOTATIONS, encode_map(delivery)))
    parts.append(encode_described(Section.MESSAGE_ANNOTATIONS, encode_map(_annotations(received, layout))))
    parts.append(layout.properties)
    parts.append(_application_properties(received, layout))
    parts.append(layout.rest)
    return b"".join(parts)


def _annotations(received: Received, layout: Layout) -> list[bytes]:
    pairs = [
        *layout.annotations,
        _KEY_ENQUEUED_TIME,
        _TIMESTAMP.pack(0x83, names.to_millis(received.enqueued_at)),
        _KEY_SEQUENCE_NUMBER,
        _LONG.pack(0x81, received.sequence_number),
    ]
    # The service leaves out what goes without saying: that a message is active, and was numbered here first.
    if received.enqueued_sequence_number != received.sequence_number:
        pairs += (_KEY_ENQUEUED_SEQUENCE_NUMBER, _LONG.pack(0x81, received.enqueued_sequence_number))
    if received.state is not MessageState.ACTIVE:
        pairs += (_KEY_MESSAGE_STATE, encode(Int(received.state)))
    if received.locked_until is not None:
        pairs += (_KEY_LOCKED_UNTIL, encode(Timestamp(names.to_millis(received.locked_until))))
    if received.dead_letter_source is not None:
        pairs += (_KEY_DEAD_LETTER_SOURCE, encode(received.dead_letter_source))
    return pairs


def _application_properties(received: Received, layout: Layout) -> bytes:
    if not received.set_properties and not received.removed_properties:
        return layout.application_properties
    merged: dict[object, object] = {}
    if layout.application_properties:
        merged.update(map_of(layout.application_properties, split(layout.application_properties)[0]))
    # Symbols and strings are equal here: a name keeps the type that it has first.
    merged.update(received.set_properties)
    kept = {_plain(k): _encodable(v) for k, v in merged.items() if k not in received.removed_properties}
    return encode_described(Section.APPLICATION_PROPERTIES, encode(kept))


def _plain(name: object) -> object:
    return str(name) if isinstance(name, Symbol) else name


def _encodable(value: object) -> object:
    # What the parameters of a rule's action can be that AMQP has no type for.
    if isinstance(value, datetime):
        return Timestamp(names.to_millis(value if value.tzinfo is not None else value.replace(tzinfo=UTC)))
    if isinstance(value, timedelta):
        return Described(names.TIME_SPAN, names.to_time_span(value))
    return value
