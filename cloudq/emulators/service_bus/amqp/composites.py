"""Composite types: values with a descriptor and a list of named fields (AMQP 1.0, part 1.4).

A class describes its fields once, as `FIELDS`; this module reads and writes it from that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import msgspec

from cloudq.emulators.service_bus.amqp.encoding import encode, encode_described, encode_list
from cloudq.emulators.service_bus.amqp.errors import DecodeError
from cloudq.emulators.service_bus.amqp.types import Array, Described, Symbol, Timestamp, UByte, UInt, ULong, UShort

_NULL: Final = b"\x40"


class Kind(msgspec.Struct, frozen=True):
    """A type that a field may have.

    Attributes:
        name: Its name in the standard.
        accepts: The classes of decoded values; none: all.
        write: Encodes a value, which may be of a simpler class (an `int` for a `uint`).
        read: Makes of a decoded value what the field holds.
    """

    name: str
    accepts: tuple[type, ...]
    write: Callable[[Any], bytes]
    read: Callable[[Any], Any] | None = None


class Field(msgspec.Struct, frozen=True):
    """A field of a composite type."""

    name: str
    kind: Kind
    mandatory: bool = False


def _as(kind: Callable[[Any], object]) -> Callable[[Any], bytes]:
    def write(value: object) -> bytes:
        return encode(kind(value))

    return write


def _write_symbols(value: Sequence[str]) -> bytes:
    return encode(Array(Symbol, tuple(Symbol(item) for item in value)))


def _read_symbols(value: Symbol | Array) -> tuple[Symbol, ...]:
    if isinstance(value, Symbol):
        return (value,)
    if value.element is not Symbol:
        raise DecodeError("a field that has symbols has an array of something else")
    return tuple(item for item in value.items if isinstance(item, Symbol))


ANY: Final = Kind("*", (), encode)
BOOLEAN: Final = Kind("boolean", (bool,), encode)
UBYTE: Final = Kind("ubyte", (UByte,), _as(UByte))
USHORT: Final = Kind("ushort", (UShort,), _as(UShort))
UINT: Final = Kind("uint", (UInt,), _as(UInt))
ULONG: Final = Kind("ulong", (ULong,), _as(ULong))
TIMESTAMP: Final = Kind("timestamp", (Timestamp,), _as(Timestamp))
STRING: Final = Kind("string", (str,), _as(str))
SYMBOL: Final = Kind("symbol", (Symbol,), _as(Symbol))
SYMBOLS: Final = Kind("symbol, multiple", (Symbol, Array), _write_symbols, _read_symbols)
BINARY: Final = Kind("binary", (bytes,), _as(bytes))
MAP: Final = Kind("map", (dict,), _as(dict))


class Composite(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a composite type."""

    CODE: ClassVar[int]
    NAME: ClassVar[str]
    FIELDS: ClassVar[tuple[Field, ...]]
    WHOLE: ClassVar[bool] = False

    def encode(self) -> bytes:
        """The value with its descriptor. Fields at the end that are `None` are left out, unless it is `WHOLE`."""
        items = []
        used = 0
        for field in self.FIELDS:
            value = getattr(self, field.name)
            items.append(_NULL if value is None else field.kind.write(value))
            if value is not None:
                used = len(items)
        return encode_described(self.CODE, encode_list(items if self.WHOLE else items[:used]))

    @classmethod
    def from_fields(cls, values: Sequence[object]) -> Self:
        """The value with these fields, of which those at the end may be missing.

        Raises:
            DecodeError: There are more fields than the type has, one is of the wrong type, or a mandatory one is
                missing.
        """
        if len(values) > len(cls.FIELDS):
            raise DecodeError(f"{cls.NAME} has {len(cls.FIELDS)} fields, not {len(values)}")
        found: dict[str, object] = {}
        for field, value in zip(cls.FIELDS, values, strict=False):
            if value is None:
                continue
            kind = field.kind
            if kind.accepts and type(value) not in kind.accepts:
                raise DecodeError(f"{cls.NAME}.{field.name} is of the type {kind.name}, not {type(value).__name__}")
            found[field.name] = value if kind.read is None else kind.read(value)
        try:
            return cls(**found)
        except TypeError:
            missing = [field.name for field in cls.FIELDS if field.mandatory and field.name not in found]
            raise DecodeError(f"{cls.NAME} lacks {', '.join(missing)}") from None


def family(*members: type[Composite]) -> Mapping[object, type[Composite]]:
    """Composite types by their descriptors: the code, and the symbol."""
    return {member.CODE: member for member in members} | {
        f"amqp:{member.NAME}:list": member for member in members
    }  # fmt: skip


def read_member(members: Mapping[object, type[Composite]], value: object) -> Composite | None:
    """The value as one of these types; `None` if it is of none of them.

    Raises:
        DecodeError: It is of one of them, but not as the type has it.
    """
    if not isinstance(value, Described) or not isinstance(value.value, list):
        return None
    try:
        member = members.get(value.descriptor)
    except TypeError:
        return None
    return None if member is None else member.from_fields(value.value)


def one_of(name: str, members: Mapping[object, type[Composite]], *, others: bool = False) -> Kind:
    """A field that holds one of these types; with `others` anything described besides, which stays `Described`."""

    def read(value: Described) -> Composite | Described:
        found = read_member(members, value)
        if found is None and not others:
            raise DecodeError(f"{value.descriptor!r} is no {name}")
        return value if found is None else found

    def write(value: Composite | Described) -> bytes:
        return encode(value) if isinstance(value, Described) else value.encode()

    return Kind(name, (Described,), write, read)
