"""Errors and the states of a delivery (AMQP 1.0, parts 2.8.14 and 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloudq.emulators.service_bus.amqp.composites import (
    BOOLEAN,
    MAP,
    STRING,
    SYMBOL,
    UINT,
    ULONG,
    Composite,
    Field,
    family,
    one_of,
)
from cloudq.emulators.service_bus.amqp.errors import AmqpError
from cloudq.emulators.service_bus.amqp.types import Described, Symbol

Map = Mapping[object, object]


class Error(Composite, frozen=True, kw_only=True):
    """Why something was refused or ended."""

    CODE, NAME = 0x1D, "error"
    WHOLE = True  # azure-servicebus 7.15 reads all three fields, of a rejection's and of a connection's error
    FIELDS = (Field("condition", SYMBOL, mandatory=True), Field("description", STRING), Field("info", MAP))
    condition: str
    description: str | None = None
    info: Map | None = None

    @classmethod
    def of(cls, error: AmqpError) -> Error:
        """The error as it goes over the wire."""
        info: dict[object, object] = {Symbol(name): value for name, value in error.info.items()}
        return cls(condition=error.condition, description=error.text, info=info or None)


_ACCEPTED: Final = b"\x00\x53\x24\x45"
ERROR: Final = one_of("error", family(Error))


class Received(Composite, frozen=True, kw_only=True):
    """How much of a message arrived, when a link is resumed."""

    CODE, NAME = 0x23, "received"
    FIELDS = (Field("section_number", UINT, mandatory=True), Field("section_offset", ULONG, mandatory=True))
    section_number: int
    section_offset: int


class Accepted(Composite, frozen=True, kw_only=True):
    """The receiver has dealt with the message."""

    CODE, NAME = 0x24, "accepted"
    FIELDS = ()

    def encode(self) -> bytes:
        """Most answers have this in them: it is written once."""
        return _ACCEPTED


class Rejected(Composite, frozen=True, kw_only=True):
    """The receiver can't deal with the message."""

    CODE, NAME = 0x25, "rejected"
    FIELDS = (Field("error", ERROR),)
    error: Error | None = None


class Released(Composite, frozen=True, kw_only=True):
    """The receiver did nothing with the message."""

    CODE, NAME = 0x26, "released"
    FIELDS = ()


class Modified(Composite, frozen=True, kw_only=True):
    """The receiver did nothing with the message, and it is to be changed."""

    CODE, NAME = 0x27, "modified"
    FIELDS = (
        Field("delivery_failed", BOOLEAN),
        Field("undeliverable_here", BOOLEAN),
        Field("message_annotations", MAP),
    )
    delivery_failed: bool | None = None
    undeliverable_here: bool | None = None
    message_annotations: Map | None = None


DeliveryState = Received | Accepted | Rejected | Released | Modified | Described
"""A `Described` is one that this package doesn't know, such as a transaction's."""
ACCEPTED: Final = Accepted()
STATE: Final = one_of("delivery-state", family(Received, Accepted, Rejected, Released, Modified), others=True)
