"""Composites and the bodies of frames: fields, defaults, errors, and what both codecs make of them."""

from __future__ import annotations

import pytest

from cloudq.emulators.service_bus.amqp.decoding import decode_all
from cloudq.emulators.service_bus.amqp.encoding import encode
from cloudq.emulators.service_bus.amqp.errors import AmqpError, DecodeError
from cloudq.emulators.service_bus.amqp.performatives import (
    PERFORMATIVES,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    Transfer,
    read_body,
)
from cloudq.emulators.service_bus.amqp.sasl import SASL, SaslInit, SaslMechanisms, SaslOutcome
from cloudq.emulators.service_bus.amqp.states import (
    ACCEPTED,
    Error,
    Modified,
    Received,
    Rejected,
    Released,
)
from cloudq.emulators.service_bus.amqp.termini import Coordinator, Source, Target
from cloudq.emulators.service_bus.amqp.types import Array, Described, Symbol, UByte, UInt, ULong, symbols

ERROR = Error(condition="amqp:not-found", description="gone", info={Symbol("a"): 1})
EVERY = [
    Open(container_id="me"),
    Open(
        container_id="me", hostname="h", max_frame_size=512, channel_max=7, idle_time_out=60_000,
        outgoing_locales=("en-US",), incoming_locales=(), offered_capabilities=("a", "b"),
        desired_capabilities=("c",), properties={Symbol("product"): "p"},
    ),
    Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=2),
    Begin(remote_channel=3, next_outgoing_id=0, incoming_window=1, outgoing_window=2, handle_max=9, properties={}),
    Attach(
        name="link", handle=0, role=True, snd_settle_mode=1, rcv_settle_mode=0,
        source=Source(
            address="q", durable=0, expiry_policy="session-end", timeout=0, dynamic=False, dynamic_node_properties={},
            distribution_mode="move", filter={Symbol("f"): Described(Symbol("f"), None)}, default_outcome=Released(),
            outcomes=("amqp:accepted:list",), capabilities=(),
        ),
        target=Target(
            address="me", durable=0, expiry_policy="never", timeout=0, dynamic=False, dynamic_node_properties={},
            capabilities=("queue",),
        ),
        unsettled={b"tag": ACCEPTED and None}, incomplete_unsettled=False, initial_delivery_count=0,
        max_message_size=262_144, offered_capabilities=(), desired_capabilities=(), properties={Symbol("x"): UInt(1)},
    ),
    Attach(name="tx", handle=1, role=False, target=Coordinator(capabilities=("amqp:local-transactions",))),
    Flow(incoming_window=1, next_outgoing_id=2, outgoing_window=3),
    Flow(
        next_incoming_id=0, incoming_window=1, next_outgoing_id=2, outgoing_window=3, handle=4, delivery_count=5,
        link_credit=6, available=7, drain=True, echo=True, properties={},
    ),
    Transfer(handle=0),
    Transfer(
        handle=0, delivery_id=1, delivery_tag=b"t", message_format=0x80013700, settled=True, more=True,
        rcv_settle_mode=1, state=ACCEPTED, resume=True, aborted=True, batchable=True,
    ),
    Disposition(role=True, first=0, last=9, settled=True, state=ACCEPTED, batchable=True),
    Disposition(role=False, first=0, state=Received(section_number=1, section_offset=2)),
    Disposition(role=False, first=0, state=Released()),
    Disposition(role=True, first=0, state=Rejected(error=ERROR)),
    Disposition(role=True, first=0, state=Rejected()),
    Disposition(
        role=True, first=0,
        state=Modified(delivery_failed=True, undeliverable_here=False, message_annotations={Symbol("a"): "b"}),
    ),
    Disposition(role=True, first=0, state=Described(ULong(0x34), [b"txn"])),
    Detach(handle=0, closed=True, error=ERROR),
    End(error=ERROR),
    End(),
    Close(error=ERROR),
    Close(),
]  # fmt: skip


@pytest.mark.parametrize("performative", EVERY, ids=lambda value: value.NAME)
def test_performatives_round_trip(performative: object) -> None:
    """Each performative is read as it was written, and what follows it is the payload."""
    body = performative.encode()
    assert (performative, len(body)) == read_body(PERFORMATIVES, body + b"payload")


@pytest.mark.parametrize(
    "frame",
    [
        SaslMechanisms(sasl_server_mechanisms=("ANONYMOUS", "PLAIN")),
        SaslInit(mechanism="PLAIN", initial_response=b"\0user\0secret", hostname="h"),
        SaslOutcome(code=0),
    ],
)
def test_sasl_round_trips(frame: object) -> None:
    """SASL's frames too; a response, which may be a password, is never shown."""
    assert (frame, len(frame.encode())) == read_body(SASL, frame.encode())
    assert "secret" not in repr(frame)


def test_fields_at_the_end_are_left_out() -> None:
    """Fields that aren't set cost nothing behind the last one that is, and one byte before it."""
    assert encode(Described(ULong(0x16), [UInt(1)])) == Detach(handle=1, closed=None).encode()
    assert [None, "h"] == decode_all(Open(container_id=None, hostname="h").encode()).value[:2]


def test_defaults() -> None:
    """Fields that are missing, or null, have the standard's defaults."""
    missing, _ = read_body(PERFORMATIVES, encode(Described(ULong(0x10), ["me"])))
    null, _ = read_body(PERFORMATIVES, encode(Described(ULong(0x10), ["me"] + [None] * 9)))
    assert Open(container_id="me", max_frame_size=2**32 - 1, channel_max=65535) == missing == null


def test_symbolic_descriptors() -> None:
    """A descriptor may be the type's symbol."""
    assert Close() == read_body(PERFORMATIVES, encode(Described(Symbol("amqp:close:list"), [])))[0]


def test_one_symbol_stands_for_several() -> None:
    """A field that may have several symbols may be a single one."""
    opened, _ = read_body(PERFORMATIVES, encode(Described(ULong(0x10), ["me"] + [None] * 6 + [Symbol("one")])))
    assert ("one",) == opened.offered_capabilities
    opened, _ = read_body(PERFORMATIVES, encode(Described(ULong(0x10), ["me"] + [None] * 6 + [symbols("one", "two")])))
    assert ("one", "two") == opened.offered_capabilities


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (Described(ULong(0x12), ["n", UInt(0)]), "attach lacks role"),
        (Described(ULong(0x13), []), "flow lacks incoming_window, next_outgoing_id, outgoing_window"),
        (Described(ULong(0x16), [1]), "detach.handle is of the type uint, not int"),
        (Described(ULong(0x16), [UInt(1), UByte(1)]), "detach.closed is of the type boolean, not UByte"),
        (Described(ULong(0x18), [None, None]), "close has 1 fields, not 2"),
        (Described(ULong(0x18), [Described(ULong(0x24), [])]), "is no error"),
        (Described(ULong(0x12), ["n", UInt(0), True, None, None, Described(ULong(0x29), [])]), "is no source"),
        (Described(ULong(0x10), ["me"] + [None] * 6 + [Array(str, ("a",))]), "array of something else"),
        (Described(ULong(0x19), []), r"the body ULong\(25\) can't come here"),
        (Described(ULong(0x10), {}), "can't come here"),
        (Described([], []), "can't come here"),
        ([], "the body 'list' can't come here"),
    ],
)
def test_what_is_no_performative(value: object, complaint: str) -> None:
    """What isn't as the standard has it is refused, naming the field."""
    with pytest.raises(DecodeError, match=complaint):
        read_body(PERFORMATIVES, encode(value))


def test_errors_on_the_wire() -> None:
    """An `AmqpError` goes over the wire with its condition, text and info, by symbols."""
    error = Error.of(AmqpError("amqp:not-found", "gone", {"a": 1}))
    assert ERROR == error
    assert [Symbol, str, dict] == [type(field) for field in decode_all(error.encode()).value]
    assert ["a", None, None] == decode_all(Error(condition="a").encode()).value
    assert error.info is not None
    assert Symbol is type(next(iter(error.info)))
    assert Error.of(AmqpError("amqp:not-found", "gone")).info is None
