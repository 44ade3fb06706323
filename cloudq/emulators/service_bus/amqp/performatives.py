"""The bodies of frames (AMQP 1.0, part 2.7).

Fields have the standard's names and defaults, except that a default which the other side may want to see echoed is
`None` here. Times are milliseconds, as on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cloudq.emulators.service_bus.amqp.composites import (
    BINARY,
    BOOLEAN,
    MAP,
    STRING,
    SYMBOLS,
    UBYTE,
    UINT,
    ULONG,
    USHORT,
    Composite,
    Field,
    family,
    read_member,
)
from cloudq.emulators.service_bus.amqp.decoding import decode
from cloudq.emulators.service_bus.amqp.errors import DecodeError
from cloudq.emulators.service_bus.amqp.states import ERROR, STATE, DeliveryState, Error, Map
from cloudq.emulators.service_bus.amqp.termini import SOURCE, TARGET, Coordinator, Source, Target
from cloudq.emulators.service_bus.amqp.types import Described


class Open(Composite, frozen=True, kw_only=True):
    """Opens the connection."""

    CODE, NAME = 0x10, "open"
    FIELDS = (
        Field("container_id", STRING, mandatory=True),
        Field("hostname", STRING),
        Field("max_frame_size", UINT),
        Field("channel_max", USHORT),
        Field("idle_time_out", UINT),
        Field("outgoing_locales", SYMBOLS),
        Field("incoming_locales", SYMBOLS),
        Field("offered_capabilities", SYMBOLS),
        Field("desired_capabilities", SYMBOLS),
        Field("properties", MAP),
    )
    container_id: str
    hostname: str | None = None
    max_frame_size: int = 2**32 - 1
    channel_max: int = 2**16 - 1
    idle_time_out: int | None = None
    outgoing_locales: Sequence[str] | None = None
    incoming_locales: Sequence[str] | None = None
    offered_capabilities: Sequence[str] | None = None
    desired_capabilities: Sequence[str] | None = None
    properties: Map | None = None


class Begin(Composite, frozen=True, kw_only=True):
    """Begins a session on a channel."""

    CODE, NAME = 0x11, "begin"
    FIELDS = (
        Field("remote_channel", USHORT),
        Field("next_outgoing_id", UINT, mandatory=True),
        Field("incoming_window", UINT, mandatory=True),
        Field("outgoing_window", UINT, mandatory=True),
        Field("handle_max", UINT),
        Field("offered_capabilities", SYMBOLS),
        Field("desired_capabilities", SYMBOLS),
        Field("properties", MAP),
    )
    next_outgoing_id: int
    incoming_window: int
    outgoing_window: int
    remote_channel: int | None = None
    handle_max: int = 2**32 - 1
    offered_capabilities: Sequence[str] | None = None
    desired_capabilities: Sequence[str] | None = None
    properties: Map | None = None


class Attach(Composite, frozen=True, kw_only=True):
    """Attaches a link to a session. The role is true for the receiver of messages."""

    CODE, NAME = 0x12, "attach"
    FIELDS = (
        Field("name", STRING, mandatory=True),
        Field("handle", UINT, mandatory=True),
        Field("role", BOOLEAN, mandatory=True),
        Field("snd_settle_mode", UBYTE),
        Field("rcv_settle_mode", UBYTE),
        Field("source", SOURCE),
        Field("target", TARGET),
        Field("unsettled", MAP),
        Field("incomplete_unsettled", BOOLEAN),
        Field("initial_delivery_count", UINT),
        Field("max_message_size", ULONG),
        Field("offered_capabilities", SYMBOLS),
        Field("desired_capabilities", SYMBOLS),
        Field("properties", MAP),
    )
    name: str
    handle: int
    role: bool
    snd_settle_mode: int | None = None
    rcv_settle_mode: int | None = None
    source: Source | None = None
    target: Target | Coordinator | None = None
    unsettled: Map | None = None
    incomplete_unsettled: bool | None = None
    initial_delivery_count: int | None = None
    max_message_size: int | None = None
    offered_capabilities: Sequence[str] | None = None
    desired_capabilities: Sequence[str] | None = None
    properties: Map | None = None


class Flow(Composite, frozen=True, kw_only=True):
    """States a session's windows, and with a handle a link's credit."""

    CODE, NAME = 0x13, "flow"
    FIELDS = (
        Field("next_incoming_id", UINT),
        Field("incoming_window", UINT, mandatory=True),
        Field("next_outgoing_id", UINT, mandatory=True),
        Field("outgoing_window", UINT, mandatory=True),
        Field("handle", UINT),
        Field("delivery_count", UINT),
        Field("link_credit", UINT),
        Field("available", UINT),
        Field("drain", BOOLEAN),
        Field("echo", BOOLEAN),
        Field("properties", MAP),
    )
    incoming_window: int
    next_outgoing_id: int
    outgoing_window: int
    next_incoming_id: int | None = None
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool = False
    echo: bool = False
    properties: Map | None = None


class Transfer(Composite, frozen=True, kw_only=True):
    """A message, or with `more` a part of one. Its bytes follow in the frame."""

    CODE, NAME = 0x14, "transfer"
    FIELDS = (
        Field("handle", UINT, mandatory=True),
        Field("delivery_id", UINT),
        Field("delivery_tag", BINARY),
        Field("message_format", UINT),
        Field("settled", BOOLEAN),
        Field("more", BOOLEAN),
        Field("rcv_settle_mode", UBYTE),
        Field("state", STATE),
        Field("resume", BOOLEAN),
        Field("aborted", BOOLEAN),
        Field("batchable", BOOLEAN),
    )
    handle: int
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool | None = None
    more: bool = False
    rcv_settle_mode: int | None = None
    state: DeliveryState | None = None
    resume: bool = False
    aborted: bool = False
    batchable: bool = False


class Disposition(Composite, frozen=True, kw_only=True):
    """States what became of deliveries. The role is true if the sender of this received them."""

    CODE, NAME = 0x15, "disposition"
    FIELDS = (
        Field("role", BOOLEAN, mandatory=True),
        Field("first", UINT, mandatory=True),
        Field("last", UINT),
        Field("settled", BOOLEAN),
        Field("state", STATE),
        Field("batchable", BOOLEAN),
    )
    role: bool
    first: int
    last: int | None = None
    settled: bool = False
    state: DeliveryState | None = None
    batchable: bool = False


class Detach(Composite, frozen=True, kw_only=True):
    """Detaches a link."""

    CODE, NAME = 0x16, "detach"
    FIELDS = (Field("handle", UINT, mandatory=True), Field("closed", BOOLEAN), Field("error", ERROR))
    handle: int
    closed: bool = False
    error: Error | None = None


class End(Composite, frozen=True, kw_only=True):
    """Ends a session."""

    CODE, NAME = 0x17, "end"
    FIELDS = (Field("error", ERROR),)
    error: Error | None = None


class Close(Composite, frozen=True, kw_only=True):
    """Closes the connection."""

    CODE, NAME = 0x18, "close"
    FIELDS = (Field("error", ERROR),)
    error: Error | None = None


PERFORMATIVES: Final = family(Open, Begin, Attach, Flow, Transfer, Disposition, Detach, End, Close)


def read_body(members: Mapping[object, type[Composite]], body: bytes) -> tuple[Composite, int]:
    """Reads the performative that a frame's body starts with. Returns it, and where the payload starts.

    Raises:
        DecodeError: It isn't one of these, or not as the standard has it.
    """
    value, position = decode(body)
    found = read_member(members, value)
    if found is None:
        shown = value.descriptor if isinstance(value, Described) else type(value).__name__
        raise DecodeError(f"a frame with the body {shown!r} can't come here")
    return found, position
