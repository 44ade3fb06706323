"""From values to bytes (AMQP 1.0, part 1.6), each in the shortest form of its type."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from uuid import UUID

from cloudq.emulators.service_bus.amqp.errors import EncodeError
from cloudq.emulators.service_bus.amqp.types import (
    Array,
    Byte,
    Char,
    Decimal32,
    Decimal64,
    Decimal128,
    Described,
    Float,
    Int,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
)

_U32 = struct.Struct(">I")
Writer = Callable[..., bytes]
_SHORT = 255


def encode(value: object) -> bytes:
    """The value's encoding.

    Raises:
        EncodeError: AMQP has no type for it, or it is out of its type's range.
    """
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise EncodeError(f"AMQP has no type for {type(value).__name__}")
    try:
        return writer(value)
    except (struct.error, OverflowError):
        raise EncodeError(f"{value!r} is out of its type's range") from None


def encode_list(items: Iterable[bytes]) -> bytes:
    """A list of items that are encoded already."""
    encoded = list(items)
    return _compound(0xC0, 0xD0, len(encoded), b"".join(encoded)) if encoded else b"\x45"


def encode_map(pairs: Iterable[bytes]) -> bytes:
    """A map of keys and values, in turns, that are encoded already."""
    encoded = list(pairs)
    return _compound(0xC1, 0xD1, len(encoded), b"".join(encoded))


def encode_described(descriptor: int, encoded: bytes) -> bytes:
    """An encoded value under a descriptor of the standard's own: a number below 256."""
    return b"\x00\x53" + bytes((descriptor,)) + encoded


def _compound(short: int, long: int, count: int, body: bytes) -> bytes:
    size = len(body)
    if size < _SHORT and count <= _SHORT:
        return bytes((short, size + 1, count)) + body
    return bytes((long,)) + _U32.pack(size + 4) + _U32.pack(count) + body


def _variable(short: int, long: int) -> Callable[[bytes], bytes]:
    def write(data: bytes) -> bytes:
        if len(data) <= _SHORT:
            return bytes((short, len(data))) + data
        return bytes((long,)) + _U32.pack(len(data)) + data

    return write


def _number(constructor: int, code: str) -> Writer:
    pack = struct.Struct(">B" + code).pack

    def write(value: float) -> bytes:
        return pack(constructor, value)

    return write


def _unsigned(zero: int, small: int, wide: int, code: str) -> Writer:
    pack = struct.Struct(">B" + code).pack

    def write(value: int) -> bytes:
        if value == 0:
            return bytes((zero,))
        return bytes((small, value)) if 0 < value < 256 else pack(wide, value)

    return write


def _signed(small: int, wide: int, code: str) -> Writer:
    pack = struct.Struct(">B" + code).pack

    def write(value: int) -> bytes:
        return bytes((small, value & 0xFF)) if -128 <= value < 128 else pack(wide, value)

    return write


def _decimal(constructor: int) -> Writer:
    def write(value: Decimal32 | Decimal64 | Decimal128) -> bytes:
        if len(value) != value.WIDTH:
            raise EncodeError(f"a {type(value).__name__.lower()} has {value.WIDTH} bytes, not {len(value)}")
        return bytes((constructor,)) + value

    return write


def _write_char(value: Char) -> bytes:
    if len(value) != 1:
        raise EncodeError(f"a char is one character, not {str(value)!r}")
    try:
        return b"\x73" + value.encode("utf-32-be")
    except UnicodeEncodeError:
        raise EncodeError("a char is no half of a surrogate pair") from None


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise EncodeError("a string has half of a surrogate pair in it") from None


def _ascii(value: str) -> bytes:
    try:
        return value.encode("ascii")
    except UnicodeEncodeError:
        raise EncodeError(f"a symbol is ASCII, {str(value)!r} is not") from None


_binary, _string, _symbol = _variable(0xA0, 0xB0), _variable(0xA1, 0xB1), _variable(0xA3, 0xB3)


def _write_map(value: Mapping[object, object]) -> bytes:
    return encode_map([encode(part) for pair in value.items() for part in pair])


def _write_described(value: Described) -> bytes:
    return b"\x00" + encode(value.descriptor) + encode(value.value)


def _write_array(value: Array) -> bytes:
    wide = _ARRAY_ITEMS.get(value.element)
    if wide is None:
        raise EncodeError(f"AMQP has no type for {value.element.__name__}")
    constructor, write = wide
    if any(type(item) is not value.element for item in value.items):
        raise EncodeError(f"an array of {value.element.__name__} has items of another type")
    head = b"" if value.descriptor is None else b"\x00" + encode(value.descriptor)
    body = head + bytes((constructor,)) + b"".join(map(write, value.items))
    return _compound(0xE0, 0xF0, len(value.items), body)


def _item(code: str) -> Writer:
    return struct.Struct(">" + code).pack


def _sized(convert: Callable[..., bytes]) -> Writer:
    def write(value: object) -> bytes:
        data = convert(value)
        return _U32.pack(len(data)) + data

    return write


def _behind_constructor(writer: Writer) -> Writer:
    def write(value: object) -> bytes:
        return writer(value)[1:]

    return write


def _wide_compound(parts: Callable[..., Iterable[object]]) -> Writer:
    def write(value: object) -> bytes:
        items = [encode(part) for part in parts(value)]
        body = b"".join(items)
        return _U32.pack(len(body) + 4) + _U32.pack(len(items)) + body

    return write


def _map_parts(value: Mapping[object, object]) -> Iterable[object]:
    return (part for pair in value.items() for part in pair)


def _wide_array(value: Array) -> bytes:
    encoded = _write_array(value)
    if encoded[0] == 0xF0:
        return encoded[1:]
    return _U32.pack(encoded[1] + 3) + _U32.pack(encoded[2]) + encoded[3:]


_WRITERS: Final[dict[type, Writer]] = {
    type(None): lambda _value: b"\x40",
    bool: lambda value: b"\x41" if value else b"\x42",
    UByte: _number(0x50, "B"),
    UShort: _number(0x60, "H"),
    UInt: _unsigned(0x43, 0x52, 0x70, "I"),
    ULong: _unsigned(0x44, 0x53, 0x80, "Q"),
    Byte: _number(0x51, "b"),
    Short: _number(0x61, "h"),
    Int: _signed(0x54, 0x71, "i"),
    int: _signed(0x55, 0x81, "q"),
    Timestamp: _number(0x83, "q"),
    Float: _number(0x72, "f"),
    float: _number(0x82, "d"),
    Decimal32: _decimal(0x74),
    Decimal64: _decimal(0x84),
    Decimal128: _decimal(0x94),
    Char: _write_char,
    UUID: lambda value: b"\x98" + value.bytes,
    bytes: _binary,
    str: lambda value: _string(_utf8(value)),
    Symbol: lambda value: _symbol(_ascii(value)),
    list: lambda value: encode_list([encode(item) for item in value]),
    dict: _write_map,
    Array: _write_array,
    Described: _write_described,
}
# Items of an array have one constructor, so each type has one that fits all its values.
_ARRAY_ITEMS: Final[dict[type, tuple[int, Writer]]] = {
    type(None): (0x40, lambda _value: b""),
    bool: (0x56, lambda value: b"\x01" if value else b"\x00"),
    UByte: (0x50, _item("B")),
    UShort: (0x60, _item("H")),
    UInt: (0x70, _item("I")),
    ULong: (0x80, _item("Q")),
    Byte: (0x51, _item("b")),
    Short: (0x61, _item("h")),
    Int: (0x71, _item("i")),
    int: (0x81, _item("q")),
    Timestamp: (0x83, _item("q")),
    Float: (0x72, _item("f")),
    float: (0x82, _item("d")),
    Decimal32: (0x74, _behind_constructor(_decimal(0x74))),
    Decimal64: (0x84, _behind_constructor(_decimal(0x84))),
    Decimal128: (0x94, _behind_constructor(_decimal(0x94))),
    Char: (0x73, _behind_constructor(_write_char)),
    UUID: (0x98, lambda value: bytes(value.bytes)),
    bytes: (0xB0, _sized(bytes)),
    str: (0xB1, _sized(_utf8)),
    Symbol: (0xB3, _sized(_ascii)),
    list: (0xD0, _wide_compound(iter)),
    dict: (0xD1, _wide_compound(_map_parts)),
    Array: (0xF0, _wide_array),
}
