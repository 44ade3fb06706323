"""What azure-servicebus's own codec, which has nothing to do with this one, makes of the same values and bytes."""

from __future__ import annotations

from uuid import UUID

import pytest
from azure.servicebus._pyamqp import _decode as theirs
from azure.servicebus._pyamqp import outcomes
from azure.servicebus._pyamqp import performatives as their
from azure.servicebus._pyamqp._encode import encode_frame, encode_payload, encode_value
from azure.servicebus._pyamqp.endpoints import Source as TheirSource
from azure.servicebus._pyamqp.endpoints import Target as TheirTarget
from azure.servicebus._pyamqp.message import Header, Message, Properties
from azure.servicebus._pyamqp.types import AMQPTypes
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudq.emulators.service_bus.amqp.decoding import decode_all
from cloudq.emulators.service_bus.amqp.encoding import encode
from cloudq.emulators.service_bus.amqp.frames import Frame, FrameReader
from cloudq.emulators.service_bus.amqp.performatives import (
    PERFORMATIVES,
    Attach,
    Begin,
    Disposition,
    Flow,
    Open,
    Transfer,
    read_body,
)
from cloudq.emulators.service_bus.amqp.sections import data_of, list_of, map_of, split
from cloudq.emulators.service_bus.amqp.states import ACCEPTED, Modified, Rejected
from cloudq.emulators.service_bus.amqp.states import Error as OurError
from cloudq.emulators.service_bus.amqp.termini import Source, Target
from cloudq.emulators.service_bus.amqp.types import (
    Array,
    Byte,
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

# Their name of each type, and how a value of ours is one of theirs.
KINDS = {
    UByte: AMQPTypes.ubyte, UShort: AMQPTypes.ushort, UInt: AMQPTypes.uint, ULong: AMQPTypes.ulong,
    Byte: AMQPTypes.byte, Short: AMQPTypes.short, Int: AMQPTypes.int, Timestamp: AMQPTypes.timestamp,
}  # fmt: skip
NUMBERS = [st.integers(kind.LOWEST, kind.HIGHEST).map(kind) for kind in KINDS]
LONGS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=300)
SYMBOLS = st.text(st.characters(max_codepoint=127), max_size=300).map(Symbol)
VALUES = st.recursive(
    st.one_of(*NUMBERS, LONGS, TEXTS, SYMBOLS, st.none(), st.booleans(), st.uuids(), st.binary(max_size=300),
              st.floats(allow_nan=False), st.floats(width=32, allow_nan=False).map(Float)),
    lambda children: st.one_of(st.lists(children, max_size=4), st.dictionaries(TEXTS, children, max_size=4)),
    max_leaves=12,
)  # fmt: skip


def to_theirs(value: object) -> object:
    """A value as their encoder wants to be told what it is."""
    kind = type(value)
    if kind in KINDS:
        return {"TYPE": KINDS[kind], "VALUE": int(value)}
    if kind is int:
        return {"TYPE": AMQPTypes.long, "VALUE": value}
    if kind is Symbol:
        return {"TYPE": AMQPTypes.symbol, "VALUE": str(value)}
    if kind is Float:
        return {"TYPE": AMQPTypes.float, "VALUE": float(value)}
    if kind is float:
        return {"TYPE": AMQPTypes.double, "VALUE": value}
    if kind is list:
        return {"TYPE": AMQPTypes.list, "VALUE": [to_theirs(item) for item in value]}
    if kind is dict:
        return {
            "TYPE": AMQPTypes.map,
            "VALUE": [({"TYPE": AMQPTypes.string, "VALUE": key}, to_theirs(item)) for key, item in value.items()],
        }
    return value


def as_they_decode(value: object) -> object:
    """What their decoder, which knows neither texts nor symbols, should make of a value."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return [as_they_decode(item) for item in value]
    if isinstance(value, dict):
        return {as_they_decode(key): as_they_decode(item) for key, item in value.items()}
    return value


def decoded_by_them(data: bytes) -> object:
    rest, value = theirs._DECODE_BY_CONSTRUCTOR[data[0]](memoryview(data)[1:])
    assert len(rest) == 0
    return value


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_values_mean_the_same_to_both(value: object) -> None:
    """They read what this codec writes, and this codec reads what they write."""
    assert as_they_decode(value) == decoded_by_them(encode(value))
    output = bytearray()
    encode_value(output, to_theirs(value))
    assert value == decode_all(bytes(output))


@pytest.mark.parametrize(
    "array",
    [Array(int, (1, -(2**63))), Array(UUID, (UUID(int=1),)), Array(Symbol, (Symbol("a"),))],
)
def test_arrays_mean_the_same_to_both(array: Array) -> None:
    """The arrays that `$management` answers with are read by them."""
    assert [as_they_decode(item) for item in array.items] == decoded_by_them(encode(array))


def body_of(performative: object) -> bytes:
    header, data = encode_frame(performative)
    reader = FrameReader(65536)
    reader.expects_header = False
    reader.feed(bytes(header) + bytes(2) + bytes(data or b""))  # the channel goes between
    frame = reader.next()
    assert isinstance(frame, Frame)
    return frame.body


def whole(kind: type, **fields: object) -> object:
    """A frame of theirs: every field is mandatory there."""
    return kind(**dict.fromkeys(kind._fields) | fields)


def test_their_frames_are_read() -> None:
    """Their performatives, with all that they write, are read to the same fields."""
    cases = [
        (
            whole(
                their.OpenFrame,
                container_id="me",
                hostname="host",
                max_frame_size=65536,
                channel_max=65535,
                idle_timeout=5,
            ),
            Open(container_id="me", hostname="host", max_frame_size=65536, idle_time_out=5),
        ),
        (
            whole(
                their.BeginFrame,
                remote_channel=None,
                next_outgoing_id=1,
                incoming_window=2,
                outgoing_window=3,
                handle_max=4,
            ),
            Begin(next_outgoing_id=1, incoming_window=2, outgoing_window=3, handle_max=4),
        ),
        (
            whole(
                their.AttachFrame,
                name="link",
                handle=0,
                role=True,
                send_settle_mode=0,
                rcv_settle_mode=1,
                source=TheirSource(address="q", filters={b"f": None}),
                target=TheirTarget(address="me"),
                max_message_size=1,
            ),
            Attach(
                name="link",
                handle=0,
                role=True,
                snd_settle_mode=0,
                rcv_settle_mode=1,
                max_message_size=1,
                source=Source(address="q", durable=0, expiry_policy="session-end", timeout=0, dynamic=False),
                target=Target(address="me", durable=0, expiry_policy="session-end", timeout=0, dynamic=False),
            ),
        ),
        (
            whole(
                their.FlowFrame,
                next_incoming_id=1,
                incoming_window=2,
                next_outgoing_id=3,
                outgoing_window=4,
                handle=0,
                link_credit=5,
            ),
            Flow(next_incoming_id=1, incoming_window=2, next_outgoing_id=3, outgoing_window=4, handle=0, link_credit=5),
        ),
        (
            whole(
                their.TransferFrame,
                handle=0,
                delivery_id=1,
                delivery_tag=b"t",
                message_format=0,
                settled=False,
                more=True,
                payload=b"",
            ),
            Transfer(handle=0, delivery_id=1, delivery_tag=b"t", message_format=0, settled=False, more=True),
        ),
        (
            whole(
                their.DispositionFrame,
                role=True,
                first=1,
                last=2,
                settled=False,
                state=outcomes.Rejected(),
                batchable=False,
            ),
            Disposition(role=True, first=1, last=2, state=Rejected()),
        ),
    ]
    for frame, expected in cases:
        found, _ = read_body(PERFORMATIVES, body_of(frame))
        assert type(expected) is type(found)
        for field in expected.FIELDS:
            if field.name not in {"source", "target"}:
                assert getattr(expected, field.name) == getattr(found, field.name), field.name
            elif getattr(expected, field.name, None) is not None:
                assert getattr(expected, field.name).address == getattr(found, field.name).address


def test_our_frames_are_read() -> None:
    """They read the frames that the server writes."""
    for frame, code, fields in [
        (Open(container_id="me", max_frame_size=65536, idle_time_out=9), 0x10, [b"me", None, 65536, 65535, 9]),
        (Flow(next_incoming_id=1, incoming_window=2, next_outgoing_id=3, outgoing_window=4), 0x13, [1, 2, 3, 4]),
        (Disposition(role=False, first=1, last=1, settled=True, state=ACCEPTED), 0x15, [False, 1, 1, True]),
    ]:
        data = frame.encode()
        found, values = theirs.decode_frame(memoryview(data))
        assert (code, fields) == (found, values[: len(fields)])
    modified = Modified(delivery_failed=True, message_annotations={Symbol("a"): 1})
    rejected = Rejected(error=OurError(condition="amqp:not-found", description="gone"))
    for state in (modified, rejected):
        _, values = theirs.decode_frame(memoryview(Disposition(role=False, first=1, state=state).encode()))
        assert values[4] is not None


def test_their_messages_are_read() -> None:
    """A message of theirs has the sections that they wrote."""
    message = Message(
        header=Header(durable=True, priority=5, ttl=1000, delivery_count=2),
        message_annotations={b"x-opt-partition-key": "p"},
        properties=Properties(message_id="id", subject="s", group_id="g"),
        application_properties={b"a": 1},
        data=[b"body"],
    )
    output = bytearray()
    encode_payload(output, message)
    payload = bytes(output)
    header, annotations, properties, named, data = split(payload)
    assert [True, 5, 1000, None, 2] == list_of(payload, header)
    assert {"x-opt-partition-key": "p"} == map_of(payload, annotations)
    assert ["id", "s", "g"] == [list_of(payload, properties)[index] for index in (0, 3, 10)]
    assert {"a": 1} == map_of(payload, named)
    assert b"body" == data_of(payload, data)
