"""From bytes to values (AMQP 1.0, part 1.6), within limits that are checked before anything is built.

A compound's size and count are checked against the bytes that are there before its items are read; types nest at most
`MAX_DEPTH` deep; an array of items without any bytes (null, true, false, zero) has at most `MAX_EMPTY_ITEMS`. So what
a decoded value takes in memory is bounded by a multiple of its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final
from uuid import UUID

from cloudq.emulators.service_bus.amqp.errors import DecodeError
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

MAX_DEPTH: Final = 32
MAX_EMPTY_ITEMS: Final = 64
"""Of an array whose items take no bytes: its count could claim four thousand million items in ten bytes."""

Reader = Callable[[bytes, int, int], tuple[object, int]]
"""Takes the bytes, the position behind the constructor, and how many levels deeper types may nest."""

_U16, _U32, _U64 = struct.Struct(">H"), struct.Struct(">I"), struct.Struct(">Q")
_S8, _S16, _S32, _S64 = (struct.Struct(code) for code in (">b", ">h", ">i", ">q"))
_F32, _F64 = struct.Struct(">f"), struct.Struct(">d")


def decode(data: bytes, position: int = 0) -> tuple[object, int]:
    """Reads the value that starts at `position`. Returns it, and the position behind it.

    Raises:
        DecodeError: It is cut off, of an unknown type, beyond a limit, or not what its type allows.
    """
    try:
        return _read(data, position, MAX_DEPTH)
    except (IndexError, struct.error):
        raise DecodeError(f"the value at byte {position} is cut off at byte {len(data)}") from None


def decode_all(data: bytes) -> object:
    """Reads the one value that `data` consists of. Raises `DecodeError` as `decode`, and if more follows."""
    value, position = decode(data)
    if position != len(data):
        raise DecodeError(f"{len(data) - position} bytes follow the value")
    return value


def skip(data: bytes, position: int, levels: int = MAX_DEPTH) -> int:
    """The position behind the value that starts at `position`; nothing is built, and its inside isn't looked at.

    Raises:
        DecodeError: It is cut off or of an unknown type.
    """
    try:
        constructor = data[position]
        while constructor == 0:  # the descriptor, then the value's own constructor
            levels = _deeper(levels)
            position = skip(data, position + 1, levels)
            constructor = data[position]
        if constructor not in _READERS:
            raise _unknown(constructor, position)
        width = _WIDTHS[constructor >> 4]
        position += 1
        if width == _SIZE8:
            position += 1 + data[position]
        elif width == _SIZE32:
            position += 4 + int(_U32.unpack_from(data, position)[0])
        else:
            position += width
    except (IndexError, struct.error):
        raise DecodeError(f"a value is cut off at byte {len(data)}") from None
    if position > len(data):
        raise DecodeError(f"a value claims bytes up to {position}, there are {len(data)}")
    return position


def _read(data: bytes, position: int, levels: int) -> tuple[object, int]:
    constructor = data[position]
    if constructor == 0:
        return _read_described(data, position + 1, levels)
    reader = _READERS.get(constructor)
    if reader is None:
        raise _unknown(constructor, position)
    return reader(data, position + 1, levels)


def _read_described(data: bytes, position: int, levels: int) -> tuple[object, int]:
    levels = _deeper(levels)
    descriptor, position = _read(data, position, levels)
    value, position = _read(data, position, levels)
    return Described(descriptor, value), position


def _deeper(levels: int) -> int:
    if levels == 0:
        raise _too_deep()
    return levels - 1


def _too_deep() -> DecodeError:
    return DecodeError(f"types nest more than {MAX_DEPTH} deep")


def _unknown(constructor: int, position: int) -> DecodeError:
    return DecodeError(f"no type has the constructor 0x{constructor:02x}, at byte {position}")


# ── types of a fixed width ───────────────────────────────────────────────────────────────────────────────


def _constant(value: object) -> Reader:
    def read(_data: bytes, position: int, _levels: int) -> tuple[object, int]:
        return value, position

    return read


def _number(layout: struct.Struct, kind: Callable[[int], object] | Callable[[float], object]) -> Reader:
    unpack, width = layout.unpack_from, layout.size

    def read(data: bytes, position: int, _levels: int) -> tuple[object, int]:
        return kind(unpack(data, position)[0]), position + width

    return read


def _small(kind: Callable[[int], object]) -> Reader:
    def read(data: bytes, position: int, _levels: int) -> tuple[object, int]:
        return kind(data[position]), position + 1

    return read


def _fixed(width: int, kind: Callable[[bytes], object]) -> Reader:
    def read(data: bytes, position: int, _levels: int) -> tuple[object, int]:
        end = position + width
        if end > len(data):
            raise IndexError
        return kind(data[position:end]), end

    return read


def _boolean(value: int) -> bool:
    if value > 1:
        raise DecodeError(f"a boolean is 0 or 1, not {value}")
    return value == 1


def _char(data: bytes) -> Char:
    try:
        return Char(data.decode("utf-32-be"))
    except UnicodeDecodeError:
        raise DecodeError(f"0x{data.hex()} is no character") from None


def _uuid(data: bytes) -> UUID:
    return UUID(bytes=data)


# ── types of a variable width ────────────────────────────────────────────────────────────────────────────


def _variable8(kind: Callable[[bytes], object]) -> Reader:
    def read(data: bytes, position: int, _levels: int) -> tuple[object, int]:
        start = position + 1
        end = start + data[position]
        if end > len(data):
            raise IndexError
        return kind(data[start:end]), end

    return read


def _variable32(kind: Callable[[bytes], object]) -> Reader:
    def read(data: bytes, position: int, _levels: int) -> tuple[object, int]:
        start = position + 4
        end = start + int(_U32.unpack_from(data, position)[0])
        if end > len(data):
            raise IndexError
        return kind(data[start:end]), end

    return read


def _binary(data: bytes) -> bytes:
    return data


def _string(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DecodeError(f"a string is not UTF-8: {error.reason}") from None


def _symbol(data: bytes) -> Symbol:
    try:
        return Symbol(data.decode("ascii"))
    except UnicodeDecodeError:
        raise DecodeError("a symbol is not ASCII") from None


# ── compounds ────────────────────────────────────────────────────────────────────────────────────────────


def _compound8(build: Callable[[list[object], int], tuple[object, int]]) -> Reader:
    def read(data: bytes, position: int, levels: int) -> tuple[object, int]:
        return build(*_read_items(data, position + 2, position + 1 + data[position], data[position + 1], levels))

    return read


def _compound32(build: Callable[[list[object], int], tuple[object, int]]) -> Reader:
    def read(data: bytes, position: int, levels: int) -> tuple[object, int]:
        size = int(_U32.unpack_from(data, position)[0])
        count = int(_U32.unpack_from(data, position + 4)[0])
        return build(*_read_items(data, position + 8, position + 4 + size, count, levels))

    return read


def _read_items(data: bytes, position: int, end: int, count: int, levels: int) -> tuple[list[object], int]:
    if end > len(data):
        raise IndexError
    if count > end - position:  # each item has one byte at least
        raise DecodeError(f"{count} items are claimed in {max(0, end - position)} bytes")
    levels = _deeper(levels)
    items = []
    readers = _READERS
    for _ in range(count):
        # As _read does; once more here because most values of most frames are read in this loop.
        reader = readers.get(data[position])
        if reader is None:
            item, position = _read(data, position, levels)
        else:
            item, position = reader(data, position + 1, levels)
        items.append(item)
    if position != end:
        raise DecodeError(f"a compound says that it ends at byte {end}, its items end at {position}")
    return items, end


def _list(items: list[object], end: int) -> tuple[object, int]:
    return items, end


def _map(items: list[object], end: int) -> tuple[object, int]:
    if len(items) % 2:
        raise DecodeError("a map has a key without a value")
    try:
        pairs = dict(zip(items[::2], items[1::2], strict=True))
    except TypeError:
        raise DecodeError("a map's key is a compound: this codec has none such") from None
    if 2 * len(pairs) != len(items):
        raise DecodeError("a map has a key twice")
    return pairs, end


def _array8(data: bytes, position: int, levels: int) -> tuple[object, int]:
    return _read_array(data, position + 2, position + 1 + data[position], data[position + 1], levels)


def _array32(data: bytes, position: int, levels: int) -> tuple[object, int]:
    size = int(_U32.unpack_from(data, position)[0])
    count = int(_U32.unpack_from(data, position + 4)[0])
    return _read_array(data, position + 8, position + 4 + size, count, levels)


def _read_array(data: bytes, position: int, end: int, count: int, levels: int) -> tuple[object, int]:
    if end > len(data):
        raise IndexError
    levels = _deeper(levels)
    descriptor: object = None
    if data[position] == 0:
        descriptor, position = _read(data, position + 1, levels)
    constructor = data[position]
    reader, element = _READERS.get(constructor), _ELEMENTS.get(constructor)
    if reader is None or element is None:
        raise _unknown(constructor, position)
    position += 1
    if count > (MAX_EMPTY_ITEMS if constructor >> 4 == _EMPTY else max(0, end - position)):
        raise DecodeError(f"an array claims {count} items in {max(0, end - position)} bytes")
    items = []
    for _ in range(count):
        item, position = reader(data, position, levels)
        items.append(item)
    if position != end:
        raise DecodeError(f"an array says that it ends at byte {end}, its items end at {position}")
    return Array(element, tuple(items), descriptor), end


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────

_SIZE8, _SIZE32, _EMPTY = -1, -4, 0x4
# By the constructor's upper half (part 1.2): how many bytes follow, or in how many bytes their number is.
_WIDTHS: Final = {
    0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16,
    0xA: _SIZE8, 0xB: _SIZE32, 0xC: _SIZE8, 0xD: _SIZE32, 0xE: _SIZE8, 0xF: _SIZE32,
}  # fmt: skip
_TYPES: Final[tuple[tuple[int, type, Reader], ...]] = (
    (0x40, type(None), _constant(None)),
    (0x41, bool, _constant(True)),
    (0x42, bool, _constant(False)),
    (0x56, bool, _small(_boolean)),
    (0x50, UByte, _small(UByte)),
    (0x60, UShort, _number(_U16, UShort)),
    (0x70, UInt, _number(_U32, UInt)),
    (0x52, UInt, _small(UInt)),
    (0x43, UInt, _constant(UInt(0))),
    (0x80, ULong, _number(_U64, ULong)),
    (0x53, ULong, _small(ULong)),
    (0x44, ULong, _constant(ULong(0))),
    (0x51, Byte, _number(_S8, Byte)),
    (0x61, Short, _number(_S16, Short)),
    (0x71, Int, _number(_S32, Int)),
    (0x54, Int, _number(_S8, Int)),
    (0x81, int, _number(_S64, int)),
    (0x55, int, _number(_S8, int)),
    (0x72, Float, _number(_F32, Float)),
    (0x82, float, _number(_F64, float)),
    (0x74, Decimal32, _fixed(4, Decimal32)),
    (0x84, Decimal64, _fixed(8, Decimal64)),
    (0x94, Decimal128, _fixed(16, Decimal128)),
    (0x73, Char, _fixed(4, _char)),
    (0x83, Timestamp, _number(_S64, Timestamp)),
    (0x98, UUID, _fixed(16, _uuid)),
    (0xA0, bytes, _variable8(_binary)),
    (0xB0, bytes, _variable32(_binary)),
    (0xA1, str, _variable8(_string)),
    (0xB1, str, _variable32(_string)),
    (0xA3, Symbol, _variable8(_symbol)),
    (0xB3, Symbol, _variable32(_symbol)),
    (0x45, list, lambda _data, position, _levels: ([], position)),
    (0xC0, list, _compound8(_list)),
    (0xD0, list, _compound32(_list)),
    (0xC1, dict, _compound8(_map)),
    (0xD1, dict, _compound32(_map)),
    (0xE0, Array, _array8),
    (0xF0, Array, _array32),
)
_READERS: Final = {constructor: reader for constructor, _, reader in _TYPES}
_ELEMENTS: Final = {constructor: element for constructor, element, _ in _TYPES}
