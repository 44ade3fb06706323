"""Sections of messages: where they are, their order, and what is no message."""

from __future__ import annotations

import pytest

from cloudq.emulators.service_bus.amqp.encoding import encode, encode_described
from cloudq.emulators.service_bus.amqp.errors import DecodeError
from cloudq.emulators.service_bus.amqp.sections import Section, data_of, list_of, map_of, split
from cloudq.emulators.service_bus.amqp.types import Described, Symbol, UInt, ULong

HEADER = encode_described(Section.HEADER, encode([True, None, UInt(5)]))
ANNOTATIONS = encode_described(Section.MESSAGE_ANNOTATIONS, encode({Symbol("x-opt-a"): 1}))
PROPERTIES = encode_described(Section.PROPERTIES, encode(["id"]))
NAMED = encode_described(Section.APPLICATION_PROPERTIES, encode({"a": 1}))
DATA = encode_described(Section.DATA, encode(b"body"))
VALUE = encode_described(Section.VALUE, encode({"operation": "x"}))
FOOTER = encode_described(Section.FOOTER, encode({}))


def test_sections_are_found() -> None:
    """Each section has its place, in the order of the message; their values are read on demand."""
    message = HEADER + ANNOTATIONS + PROPERTIES + NAMED + DATA + DATA + FOOTER
    parts = split(message)
    assert [
        Section.HEADER,
        Section.MESSAGE_ANNOTATIONS,
        Section.PROPERTIES,
        Section.APPLICATION_PROPERTIES,
        Section.DATA,
        Section.DATA,
        Section.FOOTER,
    ] == [part.section for part in parts]
    assert message == b"".join(message[part.start : part.end] for part in parts)
    assert [True, None, 5] == list_of(message, parts[0])
    assert {"x-opt-a": 1} == map_of(message, parts[1])
    assert b"body" == data_of(message, parts[4])


@pytest.mark.parametrize("descriptor", [Symbol("amqp:data:binary"), ULong(0x75)])
def test_other_forms_of_the_descriptor(descriptor: object) -> None:
    """A descriptor may be the symbol, or the number in eight bytes."""
    wide = b"\x00\x80" + bytes(7) + b"\x75" + encode(b"x")
    for message in (encode(Described(descriptor, b"x")), wide):
        (part,) = split(message)
        assert (Section.DATA, b"x") == (part.section, data_of(message, part))


def test_the_empty_message() -> None:
    """A message may have no sections."""
    assert [] == split(b"")


def test_delivery_annotations_at_the_end() -> None:
    """azure-servicebus writes delivery annotations last: there they are taken, once, as at their place."""
    late = encode_described(Section.DELIVERY_ANNOTATIONS, encode({Symbol("x-opt-a"): 1}))
    assert [Section.HEADER, Section.DATA, Section.DELIVERY_ANNOTATIONS] == [
        part.section for part in split(HEADER + DATA + late)
    ]
    for wrong in (
        late + HEADER + DATA + late,
        HEADER + PROPERTIES + late + DATA,
        DATA + late + late,
        DATA + late + DATA,
    ):
        with pytest.raises(DecodeError, match="comes at the wrong place, or twice"):
            split(wrong)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"hello", "no section starts at byte 0"),
        (DATA + b"\x40", "no section starts at byte 9"),
        (b"\x00\x53", "cut off"),
        (b"\x00\x53\x75", "cut off"),
        (DATA[:-1], "claims bytes up to 9, there are 8"),
        (encode(Described(ULong(0x79), b"")), "no section"),
        (encode(Described(Symbol("amqp:open:list"), [])), "no section"),
        (encode(Described([], b"")), "no section"),
        (encode_described(Section.DATA, encode("text")), "data is of a wrong type"),
        (encode_described(Section.HEADER, encode({})), "header is of a wrong type"),
        (encode_described(Section.FOOTER, encode([])), "footer is of a wrong type"),
        (PROPERTIES + HEADER, "header comes at the wrong place"),
        (HEADER + HEADER, "header comes at the wrong place, or twice"),
        (VALUE + VALUE, "value comes at the wrong place, or twice"),
        (DATA + VALUE, "bodies of two kinds"),
    ],
)
def test_what_is_no_message(message: bytes, complaint: str) -> None:
    """Bytes that aren't a message's sections are refused, saying why."""
    with pytest.raises(DecodeError, match=complaint):
        split(message)
