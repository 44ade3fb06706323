"""Types: the standard's own examples, every constructor, round trips of whatever can be said, and the limits."""

from __future__ import annotations

import math
import struct
import tracemalloc
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudq.emulators.service_bus.amqp.decoding import MAX_DEPTH, MAX_EMPTY_ITEMS, decode, decode_all, skip
from cloudq.emulators.service_bus.amqp.encoding import encode
from cloudq.emulators.service_bus.amqp.errors import DecodeError, EncodeError
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


def raw(*parts: int | str) -> bytes:
    """Bytes as the standard prints them: numbers and texts."""
    return b"".join(bytes((part,)) if isinstance(part, int) else part.encode() for part in parts)


BOOK = raw(
    0x00, 0xA3, 0x11, "example:book:list",
    0xC0, 0x40, 0x03,
    0xA1, 0x15, "AMQP for & by Dummies",
    0xE0, 0x25, 0x02, 0xA1, 0x0E, "Rob J. Godfrey", 0x13, "Rafael H. Schloming",
    0x40,
)  # fmt: skip


@pytest.mark.parametrize(
    ("data", "value"),
    [
        pytest.param(
            raw(0xA1, 0x1E, "Hello Glorious Messaging World"), "Hello Glorious Messaging World", id="primitive"
        ),
        pytest.param(
            raw(0x00, 0xA1, 0x03, "URL", 0xA1, 0x1E, "http://example.org/hello-world"),
            Described("URL", "http://example.org/hello-world"),
            id="described",
        ),
        pytest.param(
            BOOK,
            Described(
                Symbol("example:book:list"),
                ["AMQP for & by Dummies", Array(str, ("Rob J. Godfrey", "Rafael H. Schloming")), None],
            ),
            id="composite",
        ),
    ],
)
def test_examples_of_the_standard(data: bytes, value: object) -> None:
    """What AMQP 1.0 shows in figures 1.1 to 1.5 is read as it says, and skipped to its end."""
    assert same(value, decode_all(data))
    assert len(data) == skip(data, 0)


CONSTRUCTORS = [
    ("40", None), ("41", True), ("42", False), ("5601", True), ("5600", False),
    ("50ff", UByte(255)), ("60fffe", UShort(65534)), ("70fffffffe", UInt(2**32 - 2)), ("52ff", UInt(255)),
    ("43", UInt(0)), ("80fffffffffffffffe", ULong(2**64 - 2)), ("53ff", ULong(255)), ("44", ULong(0)),
    ("51ff", Byte(-1)), ("618000", Short(-32768)), ("7180000000", Int(-(2**31))), ("5480", Int(-128)),
    ("818000000000000000", -(2**63)), ("5580", -128),
    ("723fc00000", Float(1.5)), ("823ff8000000000000", 1.5),
    ("7422500001", Decimal32(bytes.fromhex("22500001"))),
    ("842234000000000001", Decimal64(bytes.fromhex("2234000000000001"))),
    ("9422080000000000000000000000000001", Decimal128(bytes.fromhex("22080000000000000000000000000001"))),
    ("730001f600", Char("😀")), ("8300000311e5c15680", Timestamp(0x311E5C15680)),
    ("98000102030405060708090a0b0c0d0e0f", UUID("00010203-0405-0607-0809-0a0b0c0d0e0f")),
    ("a003010203", b"\1\2\3"), ("b000000003010203", b"\1\2\3"),
    ("a103c3a961", "éa"), ("b100000003c3a961", "éa"), ("a30161", Symbol("a")), ("b30000000161", Symbol("a")),
    ("45", []), ("c003024041", [None, True]), ("d000000006000000024041", [None, True]),
    ("c10502a1016141", {"a": True}), ("d10000000800000002a1016141", {"a": True}),
]  # fmt: skip


@pytest.mark.parametrize(("data", "value"), CONSTRUCTORS, ids=[data[:2] for data, _ in CONSTRUCTORS])
def test_every_constructor(data: str, value: object) -> None:
    """Each of the constructors of part 1.6 is read, to the type that it stands for."""
    encoded = bytes.fromhex(data)
    assert same(value, decode_all(encoded))
    assert len(encoded) == skip(encoded, 0)
    assert same(value, decode_all(encode(value)))


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("e006026000010002", Array(UShort, (UShort(1), UShort(2)))),
        ("f000000009000000026000010002", Array(UShort, (UShort(1), UShort(2)))),
        ("e0020041", Array(bool, ())),
        ("e0020341", Array(bool, (True, True, True))),
        ("e00602a301610162", Array(Symbol, (Symbol("a"), Symbol("b")))),
        ("e006010053105207", Array(UInt, (UInt(7),), ULong(0x10))),
        ("e00701e00402500102", Array(Array, (Array(UByte, (UByte(1), UByte(2))),))),
    ],
)
def test_arrays(data: str, value: Array) -> None:
    """Arrays are read with the type of their items, described ones and arrays of arrays too."""
    assert same(value, decode_all(bytes.fromhex(data)))
    assert same(value, decode_all(encode(value)))


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (UInt(0), "43"), (UInt(255), "52ff"), (UInt(256), "7000000100"), (ULong(0), "44"), (ULong(0x24), "5324"),
        (ULong(256), "800000000000000100"), (127, "557f"), (-128, "5580"), (128, "810000000000000080"),
        (Int(-1), "54ff"), (Int(-129), "71ffffff7f"), ([], "45"), ("a", "a10161"), (True, "41"),
    ],
)  # fmt: skip
def test_the_shortest_form_is_written(value: object, data: str) -> None:
    """Of a type's forms the shortest that holds the value is written."""
    assert data == encode(value).hex()


def test_long_compounds_have_wide_heads() -> None:
    """From 255 bytes or 256 items on, sizes and counts take four bytes."""
    assert encode(["x" * 250])[0] == 0xC0
    assert encode(["x" * 252])[0] == 0xC0
    assert encode(["x" * 253])[0] == 0xD0
    assert encode([None] * 253)[0] == 0xC0
    assert encode([None] * 256)[0] == 0xD0
    assert encode(Array(bool, (True,) * 300))[0] == 0xF0
    for value in (["x" * 252], ["x" * 253], [None] * 256, Array(bool, (True,) * 300)):
        assert same(value, decode_all(encode(value)))


# ── round trips ──────────────────────────────────────────────────────────────────────────────────────────


def integers(kind: type) -> st.SearchStrategy:
    return st.integers(kind.LOWEST, kind.HIGHEST).map(kind)


LONGS = st.integers(-(2**63), 2**63 - 1)
SYMBOLS = st.text(st.characters(max_codepoint=127), max_size=300).map(Symbol)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=300)
PRIMITIVES = {
    type(None): st.none(),
    bool: st.booleans(),
    int: LONGS,
    float: st.floats(),
    Float: st.floats(width=32).map(Float),
    str: TEXTS,
    Symbol: SYMBOLS,
    bytes: st.binary(max_size=300),
    UUID: st.uuids(),
    Char: st.characters(exclude_categories=("Cs",)).map(Char),
    Decimal32: st.binary(min_size=4, max_size=4).map(Decimal32),
    Decimal64: st.binary(min_size=8, max_size=8).map(Decimal64),
    Decimal128: st.binary(min_size=16, max_size=16).map(Decimal128),
} | {kind: integers(kind) for kind in (UByte, UShort, UInt, ULong, Byte, Short, Int, Timestamp)}
DESCRIPTORS = st.one_of(integers(ULong), SYMBOLS)


def extend(children: st.SearchStrategy) -> st.SearchStrategy:
    lists = st.lists(children, max_size=5)
    maps = st.dictionaries(st.one_of(TEXTS, LONGS, st.uuids()), children, max_size=5)
    described = st.builds(Described, DESCRIPTORS, children)
    return st.one_of(
        lists, maps, described, st.builds(lambda items: Array(list, tuple(items)), st.lists(lists, max_size=3))
    )


def arrays() -> st.SearchStrategy:
    def of(kind: type) -> st.SearchStrategy:
        items = st.lists(PRIMITIVES[kind], max_size=20).map(tuple)
        return st.builds(Array, st.just(kind), items, st.one_of(st.none(), DESCRIPTORS))

    flat = st.sampled_from(list(PRIMITIVES)).flatmap(of)
    return st.one_of(flat, st.lists(flat, max_size=4).map(lambda items: Array(Array, tuple(items))))


VALUES = st.recursive(st.one_of(*PRIMITIVES.values(), arrays()), extend, max_leaves=20)


def same(one: object, other: object) -> bool:
    """Equal, and of the same types all the way down; one NaN is like another."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack(">d", one) == struct.pack(">d", other) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    if isinstance(one, Described) and isinstance(other, Described):
        return same(one.descriptor, other.descriptor) and same(one.value, other.value)
    if isinstance(one, Array) and isinstance(other, Array):
        return (
            one.element is other.element
            and same(one.items, other.items)
            and (one.descriptor is other.descriptor or same(one.descriptor, other.descriptor))
        )
    return one == other


@settings(max_examples=300, deadline=None)
@given(VALUES, st.binary(max_size=3))
def test_round_trips(value: object, behind: bytes) -> None:
    """Whatever can be encoded is decoded to an equal value of the same types, and skipped to the same end."""
    data = encode(value)
    decoded, end = decode(data + behind)
    assert end == len(data) == skip(data + behind, 0)
    assert same(value, decoded)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.data())
def test_what_is_cut_off_is_an_error(value: object, data: st.DataObject) -> None:
    """No beginning of a value is a value."""
    encoded = encode(value)
    start = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    with pytest.raises(DecodeError):
        decode(start)
    with pytest.raises(DecodeError):
        skip(start, 0)


# ── limits and errors ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "cut off"),
        ("3f", "constructor 0x3f"),
        ("5602", "0 or 1"),
        ("73ffffffff", "no character"),
        ("730000d800", "no character"),
        ("a101ff", "not UTF-8"),
        ("a301ff", "not ASCII"),
        ("a10561", "cut off"),
        ("b1ffffffff61", "cut off"),
        ("c00201", "cut off"),
        ("c00101", "claimed in 0 bytes"),
        ("c0020240", "2 items are claimed in 1 bytes"),
        ("c003014040", "ends at byte 5, its items end at 4"),
        ("d0ffffffff00000001", "cut off"),
        ("d000000004ffffffff", "4294967295 items are claimed in 0 bytes"),
        ("c1020140", "a key without a value"),
        ("c1050440404040", "a key twice"),
        ("c103024540", "key is a compound"),
        ("e002ff41", "255 items"),
        ("f000000005ffffffff40", "4294967295 items"),
        ("f000000005ffffffff60", "4294967295 items"),
        ("e003016000", "cut off"),
        ("e00501600000ff", "ends at byte"),
        ("e003010000", "cut off"),
        ("e002013f", "constructor 0x3f"),
        ("4040", "1 bytes follow"),
    ],
)
def test_what_is_no_value(data: str, complaint: str) -> None:
    """What isn't as its type has it is refused, saying why."""
    with pytest.raises(DecodeError, match=complaint) as caught:
        decode_all(bytes.fromhex(data))
    assert caught.value.condition == "amqp:decode-error"


def test_nesting_is_bounded() -> None:
    """Types nest so deep and no deeper, in lists, in descriptors, and in arrays of arrays."""
    value: object = None
    for _ in range(MAX_DEPTH):
        value = [value]
    assert same(value, decode_all(encode(value)))
    with pytest.raises(DecodeError, match="nest more than 32 deep"):
        decode(encode([value]))
    with pytest.raises(DecodeError, match="nest more than 32 deep"):
        decode(b"\x00" * 10_000)
    with pytest.raises(DecodeError, match="nest more than 32 deep"):
        skip(b"\x00" * 10_000, 0)
    inner = Array(Array, ())
    for _ in range(MAX_DEPTH):
        inner = Array(Array, (inner,))
    with pytest.raises(DecodeError, match="nest more than 32 deep"):
        decode(encode(inner))


def test_memory_is_bounded() -> None:
    """Sizes and counts that are lies cost nothing; arrays of items without bytes can't be made long."""
    empty = b"\xf0\x00\x00\x00\x05" + struct.pack(">I", MAX_EMPTY_ITEMS) + b"\x40"
    worst = b"\xd0" + struct.pack(">II", 6000 * len(empty) + 4, 6000) + empty * 6000
    lies = [
        b"\xb0\xff\xff\xff\xff",
        b"\xd0\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xf0\xff\xff\xff\xff\xff\xff\xff\xff\x40",
    ]
    tracemalloc.start()
    try:
        decode_all(worst)
        for lie in lies:
            with pytest.raises(DecodeError):
                decode(lie)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * len(worst)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (object(), "no type for object"),
        ({1, 2}, "no type for set"),
        (2**63, "out of its type's range"),
        (UByte(256), "out of its type's range"),
        (UInt(-1), "out of its type's range"),
        (Float(1e300), "out of its type's range"),
        (Symbol("é"), "is ASCII"),
        ("\ud800", "half of a surrogate pair"),
        (Char("ab"), "one character"),
        (Char("\ud800"), "half of a surrogate pair"),
        (Decimal64(b"1"), "has 8 bytes, not 1"),
        (Array(str, ("a", Symbol("b"))), "items of another type"),
        (Array(object, ()), "no type for object"),
        ([UShort(-1)], "out of its type's range"),
    ],
)
def test_what_has_no_encoding(value: object, complaint: str) -> None:
    """A value that AMQP has no type for, or that its type can't hold, is refused."""
    with pytest.raises(EncodeError, match=complaint):
        encode(value)


def test_checked_integers() -> None:
    """`checked` refuses what is out of range, naming the range."""
    assert UShort.checked(65535) == 65535
    with pytest.raises(EncodeError, match="65536 is no ushort: 0 to 65535"):
        UShort.checked(65536)
    assert Float.rounded(0.1) == struct.unpack(">f", struct.pack(">f", 0.1))[0]


def test_values_say_what_they_are() -> None:
    """The representations name the types."""
    assert repr([UInt(1), Symbol("a"), Float(1.5), Char("c"), Decimal32(b"1234")]) == (
        "[UInt(1), Symbol('a'), Float(1.5), Char('c'), Decimal32(b'1234')]"
    )
    assert "1 1.5 a" == f"{UInt(1)} {Float(1.5)} {Symbol('a')}"
