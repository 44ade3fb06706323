"""Values of AMQP's types in Python, so that what was decoded encodes to the same type again (AMQP 1.0, part 1.6).

`None`, `bool`, `int`, `float`, `bytes`, `str`, `UUID`, `list` and `dict` are null, boolean, long, double, binary,
string, uuid, list and map; the other types have the classes here. Those of numbers and texts compare and hash as `int`,
`float`, `str` and `bytes` do. So a map can't have two keys that are equal in Python (`uint` 1 and `long` 1): it is
refused.
"""

from __future__ import annotations

import struct
from typing import ClassVar, Self

import msgspec

from cloudq.emulators.service_bus.amqp.errors import EncodeError


class _Integer(int):
    """An integer of a certain width."""

    __slots__ = ()
    LOWEST: ClassVar[int]
    HIGHEST: ClassVar[int]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self)})"

    def __str__(self) -> str:
        return int.__repr__(self)

    @classmethod
    def checked(cls, value: int) -> Self:
        """The value in this type. Raises `EncodeError` if it is out of range."""
        if not cls.LOWEST <= value <= cls.HIGHEST:
            raise EncodeError(f"{value} is no {cls.__name__.lower()}: {cls.LOWEST} to {cls.HIGHEST}")
        return cls(value)


class UByte(_Integer):
    """`ubyte`, 8 bits."""

    __slots__ = ()
    LOWEST, HIGHEST = 0, 2**8 - 1


class UShort(_Integer):
    """`ushort`, 16 bits."""

    __slots__ = ()
    LOWEST, HIGHEST = 0, 2**16 - 1


class UInt(_Integer):
    """`uint`, 32 bits."""

    __slots__ = ()
    LOWEST, HIGHEST = 0, 2**32 - 1


class ULong(_Integer):
    """`ulong`, 64 bits."""

    __slots__ = ()
    LOWEST, HIGHEST = 0, 2**64 - 1


class Byte(_Integer):
    """`byte`, 8 bits, signed."""

    __slots__ = ()
    LOWEST, HIGHEST = -(2**7), 2**7 - 1


class Short(_Integer):
    """`short`, 16 bits, signed."""

    __slots__ = ()
    LOWEST, HIGHEST = -(2**15), 2**15 - 1


class Int(_Integer):
    """`int`, 32 bits, signed."""

    __slots__ = ()
    LOWEST, HIGHEST = -(2**31), 2**31 - 1


class Timestamp(_Integer):
    """`timestamp`: milliseconds since 1970, UTC."""

    __slots__ = ()
    LOWEST, HIGHEST = -(2**63), 2**63 - 1


class Float(float):
    """`float`, 32 bits."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Float({float(self)!r})"

    def __str__(self) -> str:
        return float.__repr__(self)

    @classmethod
    def rounded(cls, value: float) -> Self:
        """The nearest number of 32 bits."""
        return cls(struct.unpack(">f", struct.pack(">f", value))[0])


class Char(str):
    """`char`: one Unicode character."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Char({str(self)!r})"


class Symbol(str):
    """`symbol`: ASCII, a name from a fixed vocabulary."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Symbol({str(self)!r})"


class _Decimal(bytes):
    """A decimal number of IEEE 754-2008, which is kept as it is encoded."""

    __slots__ = ()
    WIDTH: ClassVar[int]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({bytes(self)!r})"


class Decimal32(_Decimal):
    """`decimal32`, 4 bytes."""

    __slots__ = ()
    WIDTH = 4


class Decimal64(_Decimal):
    """`decimal64`, 8 bytes."""

    __slots__ = ()
    WIDTH = 8


class Decimal128(_Decimal):
    """`decimal128`, 16 bytes."""

    __slots__ = ()
    WIDTH = 16


class Described(msgspec.Struct, frozen=True):
    """A value with a descriptor: a `ULong` or a `Symbol` in all that the standard defines."""

    descriptor: object
    value: object


class Array(msgspec.Struct, frozen=True):
    """Values of one type.

    Attributes:
        element: The class of the elements; `type(None)` for null, `dict` for maps, `Array` for arrays.
        items: The elements, without the descriptor.
        descriptor: Of all elements, if they are described.
    """

    element: type
    items: tuple[object, ...] = ()
    descriptor: object = None


def symbols(*names: str) -> Array:
    """An array of symbols, as SASL mechanisms and capabilities are written."""
    return Array(Symbol, tuple(map(Symbol, names)))
