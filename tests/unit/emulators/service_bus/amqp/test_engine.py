"""Connections and sessions: headers, SASL, opening and closing, errors, heartbeats."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.emulators.service_bus.amqp.engine import Connection, Identity
from cloudq.emulators.service_bus.amqp.errors import AmqpError
from cloudq.emulators.service_bus.amqp.events import Closed, Detached, Opened
from cloudq.emulators.service_bus.amqp.frames import AMQP_HEADER, SASL_HEADER, TLS_HEADER, Frame, FrameType
from cloudq.emulators.service_bus.amqp.performatives import (
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    Transfer,
)
from cloudq.emulators.service_bus.amqp.sasl import SaslInit, SaslMechanisms, SaslOutcome
from cloudq.emulators.service_bus.amqp.session import Limits
from cloudq.emulators.service_bus.amqp.termini import Source
from tests.unit.emulators.service_bus.amqp.talk import IDENTITY, Talk

SECOND = timedelta(seconds=1)


def sasl(frame: SaslInit) -> bytes:
    return Frame(0, frame.encode(), FrameType.SASL).encode()


def conditions(heard: list) -> list[str]:
    return [item.error.condition for item in heard if getattr(item, "error", None) is not None]


# ── the start ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mechanism", ["ANONYMOUS", "PLAIN"])
def test_sasl(mechanism: str) -> None:
    """The server offers its mechanisms, takes whatever comes with one of them, and the protocol starts anew."""
    talk = Talk()
    assert [SASL_HEADER, SaslMechanisms(sasl_server_mechanisms=("ANONYMOUS", "PLAIN"))] == talk.feed(
        SASL_HEADER.encode()
    )
    assert [SaslOutcome(code=0)] == talk.feed(sasl(SaslInit(mechanism=mechanism, initial_response=b"\0a\0b")))
    assert [AMQP_HEADER] == talk.feed(AMQP_HEADER.encode())
    assert ["open"] == [item.NAME for item in talk.say(Open(container_id="c"))]


def test_unknown_mechanism() -> None:
    """A mechanism that wasn't offered ends the connection."""
    talk = Talk()
    talk.feed(SASL_HEADER.encode())
    assert [SaslOutcome(code=1)] == talk.feed(sasl(SaslInit(mechanism="GSSAPI")))
    assert talk.connection.closed
    assert [Closed()] == talk.events


def test_everything_at_once() -> None:
    """A client that doesn't wait for answers gets them all, in order."""
    talk = Talk()
    heard = talk.feed(
        SASL_HEADER.encode()
        + sasl(SaslInit(mechanism="ANONYMOUS"))
        + AMQP_HEADER.encode()
        + Frame(0, Open(container_id="c").encode()).encode()
        + Frame(3, Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=1).encode()).encode()
    )
    assert [SASL_HEADER, AMQP_HEADER] == [item for item in heard if not hasattr(item, "NAME")]
    assert ["sasl-mechanisms", "sasl-outcome", "open", "begin"] == [
        item.NAME for item in heard if hasattr(item, "NAME")
    ]


@pytest.mark.parametrize("header", [TLS_HEADER.encode(), b"AMQP\x00\x00\x09\x01"])
def test_other_protocols(header: bytes) -> None:
    """A protocol that isn't spoken is answered with one that is, and the connection ends."""
    talk = Talk()
    assert [SASL_HEADER] == talk.feed(header)
    assert talk.connection.closed


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100])
def test_what_is_no_amqp(start: bytes) -> None:
    """What isn't AMQP at all ends the connection without an answer."""
    talk = Talk()
    assert [] == talk.feed(start)
    assert [Closed] == [type(event) for event in talk.events]
    assert talk.connection.closed


def test_open() -> None:
    """The server states its limits, and opens once."""
    talk = Talk(Limits(max_frame_size=4096, channel_max=3))
    talk.feed(AMQP_HEADER.encode())
    opened = Open(container_id="c", hostname="h")
    (answer,) = talk.say(opened)
    assert Open(container_id="server", max_frame_size=4096, channel_max=3, idle_time_out=240_000) == answer
    assert [Opened(opened)] == talk.events
    assert ["amqp:not-allowed"] == conditions(talk.say(opened))


@pytest.mark.parametrize(
    ("frame", "condition"),
    [
        (Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=1), "amqp:not-allowed"),
        (Open(container_id="c", max_frame_size=100), "amqp:invalid-field"),
    ],
)
def test_what_cant_be_first(frame: Open | Begin, condition: str) -> None:
    """Nothing comes before a valid open."""
    talk = Talk()
    talk.feed(AMQP_HEADER.encode())
    talk.say(frame)
    (closed,) = talk.events
    assert isinstance(closed, Closed)
    assert closed.error is not None
    assert condition == closed.error.condition


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────


def test_close() -> None:
    """The client's close is answered; the owner hears of each link, then that it is over."""
    talk = Talk().opened()
    link = talk.receiver()
    assert [Close()] == talk.say(Close())
    assert [Detached(link), Closed()] == talk.events[-2:]
    assert talk.connection.closed
    assert [] == talk.say(Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=1))


def test_close_by_the_server() -> None:
    """The server closes with its reason, once; what comes then isn't looked at."""
    talk = Talk().opened()
    talk.connection.close(AmqpError("amqp:connection:forced", "over"))
    talk.connection.close(AmqpError("amqp:internal-error", "twice"))
    assert ["amqp:connection:forced"] == conditions(talk.hear())
    assert [] == talk.say(Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=1), channel=1)


def test_lost() -> None:
    """When the transport is gone, the owner hears of each link; nothing is left to write."""
    talk = Talk().opened()
    links = [talk.receiver(0), talk.sender(1)]
    links[0].accept()
    talk.connection.lost()
    talk.connection.lost()
    assert [] == talk.hear()
    assert set(links) == {event.link for event in talk.events if isinstance(event, Detached)}
    assert Closed() == talk.events[-1]


@pytest.mark.parametrize(
    ("data", "condition"),
    [
        (bytes.fromhex("7fffffff 0200 0000"), "amqp:connection:framing-error"),
        (Frame(0, b"\x3f").encode(), "amqp:decode-error"),
        (Frame(0, b"\x00\x53\x10").encode(), "amqp:decode-error"),
        (Frame(0, End().encode(), FrameType.SASL).encode(), "amqp:decode-error"),
        (Frame(0, SaslInit(mechanism="PLAIN").encode(), FrameType.SASL).encode(), "amqp:connection:framing-error"),
        (Frame(9, End().encode()).encode(), "amqp:not-allowed"),
        (Frame(999, Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=1).encode()).encode(),
         "amqp:not-allowed"),
        (Frame(0, Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=1).encode()).encode(),
         "amqp:not-allowed"),
    ],
)  # fmt: skip
def test_what_ends_the_connection(data: bytes, condition: str) -> None:
    """What can't be understood, or breaks the rules of connections, closes it with the reason."""
    talk = Talk().opened()
    assert [condition] == conditions(talk.feed(data))
    assert talk.connection.closed


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────


def test_sessions() -> None:
    """Sessions begin on the client's channels and end one by one."""
    talk = Talk().opened()
    (begun,) = talk.begin(channel=7)
    assert (7, 0) == (begun.remote_channel, begun.next_outgoing_id)
    assert [End()] == talk.say(End(), channel=7)
    assert [Begin] == [type(item) for item in talk.begin(channel=7)]
    assert [] == conditions(talk.say(Attach(name="l", handle=0, role=True, source=Source(address="q"))))


def test_frames_behind_the_end() -> None:
    """What comes on a channel after its session has ended isn't looked at."""
    talk = Talk().opened()
    link = talk.receiver()
    talk.say(End())
    assert Detached(link) == talk.events[-1]
    assert [] == talk.say(Detach(handle=0, closed=True), Flow(incoming_window=1, next_outgoing_id=0, outgoing_window=1))
    assert not talk.connection.closed


@pytest.mark.parametrize(
    ("frame", "condition"),
    [
        (Attach(name="x", handle=0, role=True), "amqp:session:handle-in-use"),
        (Attach(name="x", handle=256, role=True), "amqp:not-allowed"),
        (Transfer(handle=5, delivery_id=0, delivery_tag=b""), "amqp:session:unattached-handle"),
        (Transfer(handle=0, delivery_id=0, delivery_tag=b""), "amqp:not-allowed"),
        (Detach(handle=5), "amqp:session:unattached-handle"),
        (Flow(incoming_window=1, next_outgoing_id=0, outgoing_window=1, handle=5), "amqp:session:unattached-handle"),
    ],
)
def test_what_ends_a_session(frame: Attach, condition: str) -> None:
    """What breaks the rules of sessions ends it with the reason; other sessions go on."""
    talk = Talk().opened()
    talk.begin(channel=1)
    link = talk.receiver()
    heard = talk.say(frame)
    assert [(End, condition)] == [(type(item), item.error.condition) for item in heard]
    assert link in [event.link for event in talk.events if isinstance(event, Detached)]
    assert [] == conditions(talk.say(Attach(name="l", handle=0, role=True), channel=1))


def test_flow_of_a_session() -> None:
    """A session's flow is answered if the client asks for it."""
    talk = Talk().opened()
    flow = {"incoming_window": 5, "next_outgoing_id": 0, "outgoing_window": 5, "next_incoming_id": 0}
    assert [] == talk.say(Flow(**flow))
    (answer,) = talk.say(Flow(**flow, echo=True))
    assert (0, None) == (answer.next_outgoing_id, answer.handle)


def test_dispositions_of_a_sender() -> None:
    """What a client says of messages that it sent changes nothing: they were settled when they came."""
    talk = Talk().opened()
    assert [] == talk.say(Disposition(role=False, first=0, settled=True))


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_heartbeats() -> None:
    """The server says something often enough for the client's timeout, and only when it has been silent."""
    talk = Talk().opened(idle_time_out=10_000)
    assert 5 * SECOND == talk.connection.deadline()
    talk.connection.tick(4 * SECOND)
    assert [] == talk.hear(4 * SECOND)
    talk.connection.tick(5 * SECOND)
    assert [None] == talk.hear(5 * SECOND)
    assert 10 * SECOND == talk.connection.deadline()


def test_idle_clients() -> None:
    """A client that says nothing for too long is closed; an empty frame is something."""
    talk = Talk().opened()
    assert 240 * SECOND == talk.connection.deadline()
    assert [] == talk.feed(Frame(0, b"").encode(), 100 * SECOND)
    talk.connection.tick(339 * SECOND)
    assert [] == talk.hear()
    talk.connection.tick(340 * SECOND)
    assert ["amqp:connection:forced"] == conditions(talk.hear())
    assert talk.connection.deadline() is None
    talk.connection.tick(900 * SECOND)


def test_no_timeouts() -> None:
    """Without timeouts on either side nothing is ever due."""
    talk = Talk(identity=Identity(container_id="server"))
    assert talk.connection.deadline() is None
    talk.connection.tick(999 * SECOND)
    assert talk.opened().connection.deadline() is None


def test_output_is_announced() -> None:
    """The owner is told when there is something to write, once until it was taken."""
    told = []
    connection = Connection(IDENTITY, Limits(), on_output=lambda: told.append(1))
    connection.feed(SASL_HEADER.encode())
    list(connection.events())
    assert [1] == told
    assert connection.take_output()
    assert b"" == connection.take_output()
