"""A plain message as the bytes that AMQP 1.0 has for it: the same bytes as the SDK's, for a twentieth of its time.

The SDK builds about fifty objects for a message, and encodes each field by a call of its own: nine tenths of what a
batch costs. Nearly all messages have an id, a body, and perhaps a session; those are written here. Any other
goes the SDK's own way, and every message does where the SDK's tracing is on: it writes the trace into each.

Private parts of a batch are used here, as in `sdk.py`.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from azure.servicebus import ServiceBusMessageBatch
from azure.servicebus._common.constants import _BATCH_MESSAGE_OVERHEAD_COST
from azure.servicebus._common.tracing import is_tracing_enabled
from azure.servicebus._pyamqp.message import BatchMessage

# What the CloudEvents specification calls an event in JSON.
CONTENT_TYPE: Final = "application/cloudevents+json"

# "AMQP 1.0, part 1: types": a value of any width is its constructor, its length in one byte or in four, and its bytes.
NULL: Final = b"\x40"
SMALL: Final = 256
_LENGTH: Final = Struct(">I")
_BINARY: Final = b"\xa0", b"\xb0"
_STRING: Final = b"\xa1", b"\xb1"
_SYMBOL: Final = b"\xa3", b"\xb3"
# "Part 3: messaging": the section's descriptor, and how many fields it has.
_PROPERTIES: Final = b"\x00\x53\x73"
_FIELDS: Final = 13
_DATA: Final = b"\x00\x53\x75"
# Of the list that the SDK keeps a batch in, and that it makes a message of.
_BODIES: Final = 5
# There, too: header, annotations (which hold a partition key), application properties, and what else a body may be.
_UNUSED: Final = (0, 1, 2, 4, 6, 7, 8)


def is_written_here() -> bool:
    """Whether messages may be written here: the SDK's tracing, once it is on, has to see each of them."""
    return not is_tracing_enabled()  # type: ignore[no-untyped-call]  # of the SDK


def plain(body: bytes, *, message_id: str, session_id: str | None) -> bytes:
    """A message that has nothing else, as the SDK would write it.

    Args:
        body: Its only data section.
        message_id: Its id.
        session_id: Its session, if it has one.
    """
    return b"".join((_properties(message_id, _CONTENT_TYPE, session_id), _DATA, binary(body)))


def batch(message: BatchMessage) -> bytes | None:
    """A batch of messages, as the SDK would write it; `None` if it has more than a first message's id and session."""
    properties: Any = message.properties
    bodies: Any = message.data
    if any(message[index] is not None for index in _UNUSED):
        return None
    sections = [] if properties is None else [_properties(properties.message_id, NULL, properties.group_id)]
    for body in bodies:
        sections += (_DATA, binary(body))
    return b"".join(sections)


def add(batch: ServiceBusMessageBatch, encoded: bytes, *, message_id: str, session_id: str | None) -> bool:
    """Adds a message that is encoded already, as the batch's own `add_message` does. Whether there was room for it."""
    private: Any = batch
    size = private._size + len(encoded) + _BATCH_MESSAGE_OVERHEAD_COST[len(encoded) >= SMALL]
    if size > private._max_size_in_bytes:
        return False
    private._message[_BODIES].append(encoded)
    private._size = size
    private._count += 1
    if private._count == 1:
        private._amqp_transport.set_batch_envelope_properties(private._message, message_id, session_id, None)
    return True


def binary(value: bytes) -> bytes:
    """Bytes, as a value."""
    return _sized(_BINARY, value)


def _properties(message_id: str, content_type: bytes, session_id: str | None) -> bytes:
    """The section of a message's properties. Its size counts the bytes that say how many fields there are."""
    session = NULL if session_id is None else _sized(_STRING, session_id.encode())
    fields = b"".join((_sized(_STRING, message_id.encode()), 5 * NULL, content_type, 3 * NULL, session, 2 * NULL))
    size = len(fields) + 1
    if size < SMALL:
        return b"".join((_PROPERTIES, b"\xc0", size.to_bytes(), _FIELDS.to_bytes(), fields))
    return b"".join((_PROPERTIES, b"\xd0", _LENGTH.pack(len(fields) + _LENGTH.size), _LENGTH.pack(_FIELDS), fields))


def _sized(constructors: tuple[bytes, bytes], value: bytes) -> bytes:
    small, large = constructors
    length = len(value)
    return small + length.to_bytes() + value if length < SMALL else large + _LENGTH.pack(length) + value


_CONTENT_TYPE: Final = _sized(_SYMBOL, CONTENT_TYPE.encode())
