"""The bodies of SASL frames (AMQP 1.0, part 5.3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from cloudq.emulators.service_bus.amqp.composites import (
    BINARY,
    STRING,
    SYMBOL,
    SYMBOLS,
    UBYTE,
    Composite,
    Field,
    family,
)


class SaslCode(IntEnum):
    """How SASL ends."""

    OK = 0
    AUTH = 1


class SaslMechanisms(Composite, frozen=True, kw_only=True):
    """What the server offers."""

    CODE, NAME = 0x40, "sasl-mechanisms"
    FIELDS = (Field("sasl_server_mechanisms", SYMBOLS, mandatory=True),)
    sasl_server_mechanisms: Sequence[str]


class SaslInit(Composite, frozen=True, kw_only=True):
    """What the client chose. The response may be a password: it is never shown."""

    CODE, NAME = 0x41, "sasl-init"
    FIELDS = (
        Field("mechanism", SYMBOL, mandatory=True),
        Field("initial_response", BINARY),
        Field("hostname", STRING),
    )
    mechanism: str
    initial_response: bytes | None = None
    hostname: str | None = None

    def __repr__(self) -> str:
        return f"SaslInit(mechanism={str(self.mechanism)!r})"


class SaslOutcome(Composite, frozen=True, kw_only=True):
    """How it ended."""

    CODE, NAME = 0x44, "sasl-outcome"
    FIELDS = (Field("code", UBYTE, mandatory=True), Field("additional_data", BINARY))
    code: int
    additional_data: bytes | None = None


SASL: Final = family(SaslMechanisms, SaslInit, SaslOutcome)
