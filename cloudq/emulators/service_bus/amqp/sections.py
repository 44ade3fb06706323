"""The sections of a message (AMQP 1.0, part 3.2): where each is in the bytes, so that few have to be decoded."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from cloudq.emulators.service_bus.amqp.decoding import decode, skip
from cloudq.emulators.service_bus.amqp.errors import DecodeError


class Section(IntEnum):
    """The descriptors of sections, in the order in which they have to come."""

    HEADER = 0x70
    DELIVERY_ANNOTATIONS = 0x71
    MESSAGE_ANNOTATIONS = 0x72
    PROPERTIES = 0x73
    APPLICATION_PROPERTIES = 0x74
    DATA = 0x75
    SEQUENCE = 0x76
    VALUE = 0x77
    FOOTER = 0x78


BODIES: Final = frozenset((Section.DATA, Section.SEQUENCE, Section.VALUE))
_NAMES: Final[dict[object, Section]] = {
    "amqp:header:list": Section.HEADER,
    "amqp:delivery-annotations:map": Section.DELIVERY_ANNOTATIONS,
    "amqp:message-annotations:map": Section.MESSAGE_ANNOTATIONS,
    "amqp:properties:list": Section.PROPERTIES,
    "amqp:application-properties:map": Section.APPLICATION_PROPERTIES,
    "amqp:data:binary": Section.DATA,
    "amqp:amqp-sequence:list": Section.SEQUENCE,
    "amqp:amqp-value:*": Section.VALUE,
    "amqp:footer:map": Section.FOOTER,
}
_SECTIONS: Final[dict[object, Section]] = {**_NAMES, **{int(section): section for section in Section}}
# The constructors that a section's value may have; a value section may have any.
_LISTS: Final = frozenset((0x45, 0xC0, 0xD0))
_MAPS: Final = frozenset((0xC1, 0xD1))
_CONSTRUCTORS: Final = {
    Section.HEADER: _LISTS,
    Section.PROPERTIES: _LISTS,
    Section.SEQUENCE: _LISTS,
    Section.DELIVERY_ANNOTATIONS: _MAPS,
    Section.MESSAGE_ANNOTATIONS: _MAPS,
    Section.APPLICATION_PROPERTIES: _MAPS,
    Section.FOOTER: _MAPS,
    Section.DATA: frozenset((0xA0, 0xB0)),
}


class Part(msgspec.Struct, frozen=True):
    """A section's place in a message.

    Attributes:
        section: Which it is.
        start: Where it starts, with its descriptor.
        value: Where its value starts.
        end: The position behind it.
    """

    section: Section
    start: int
    value: int
    end: int


def split(message: bytes) -> list[Part]:
    """The sections of an encoded message, in their order.

    Raises:
        DecodeError: The bytes are no message: a section is unknown, of the wrong type, at the wrong place or there
            twice, or bodies of two kinds. The inside of values isn't looked at. Delivery annotations may also be the
            last section: azure-servicebus writes them there, and the service takes them.
    """
    parts: list[Part] = []
    position, last, annotated = 0, 0, False
    while position < len(message):
        start = position
        section, value = _descriptor(message, start)
        allowed = _CONSTRUCTORS.get(section)
        if allowed is not None and message[value : value + 1] and message[value] not in allowed:
            raise DecodeError(f"the section {section.name.lower()} is of a wrong type")
        position = skip(message, value)
        parts.append(Part(section, start, value, position))
        if section is Section.DELIVERY_ANNOTATIONS:
            misplaced = annotated or (section < last and position < len(message))
            annotated = True
        else:
            repeatable = section is Section.DATA or section is Section.SEQUENCE
            misplaced = section < last or (section == last and not repeatable)
        if misplaced:
            raise DecodeError(f"the section {section.name.lower()} comes at the wrong place, or twice")
        if section in BODIES and last in BODIES and section != last:
            raise DecodeError("the message has bodies of two kinds")
        last = max(section, last)
    return parts


def _descriptor(message: bytes, start: int) -> tuple[Section, int]:
    # 00 53 xx, as all encoders write it, or any other form of a ulong, or a symbol.
    if message[start] != 0:
        raise DecodeError(f"no section starts at byte {start} of the message")
    if message[start + 1 : start + 2] == b"\x53" and start + 2 < len(message):
        descriptor: object = message[start + 2]
        value = start + 3
    else:
        descriptor, value = decode(message, start + 1)
    try:
        section = _SECTIONS.get(descriptor)
    except TypeError:
        section = None
    if section is None:
        raise DecodeError(f"a message has no section {descriptor!r}")
    return section, value


def list_of(message: bytes, part: Part) -> list[object]:
    """The value of a header, of properties or of a sequence. Raises `DecodeError`."""
    value, _ = decode(message, part.value)
    if not isinstance(value, list):
        raise DecodeError(f"the section {part.section.name.lower()} is no list")
    return value


def map_of(message: bytes, part: Part) -> dict[object, object]:
    """The value of annotations, of application properties or of a footer. Raises `DecodeError`."""
    value, _ = decode(message, part.value)
    if not isinstance(value, dict):
        raise DecodeError(f"the section {part.section.name.lower()} is no map")
    return value


def data_of(message: bytes, part: Part) -> bytes:
    """The bytes of a data section. Raises `DecodeError`."""
    value, _ = decode(message, part.value)
    if not isinstance(value, bytes):
        raise DecodeError("a data section is no binary")
    return value
