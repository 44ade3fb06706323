"""Where the messages of a link come from and go to (AMQP 1.0, parts 3.5 and 4.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloudq.emulators.service_bus.amqp.composites import (
    ANY,
    BOOLEAN,
    MAP,
    SYMBOL,
    SYMBOLS,
    UINT,
    Composite,
    Field,
    family,
    one_of,
)
from cloudq.emulators.service_bus.amqp.states import STATE, DeliveryState, Map


class Source(Composite, frozen=True, kw_only=True):
    """Where a link's messages come from."""

    CODE, NAME = 0x28, "source"
    FIELDS = (
        Field("address", ANY),
        Field("durable", UINT),
        Field("expiry_policy", SYMBOL),
        Field("timeout", UINT),
        Field("dynamic", BOOLEAN),
        Field("dynamic_node_properties", MAP),
        Field("distribution_mode", SYMBOL),
        Field("filter", MAP),
        Field("default_outcome", STATE),
        Field("outcomes", SYMBOLS),
        Field("capabilities", SYMBOLS),
    )
    address: object = None
    durable: int | None = None
    expiry_policy: str | None = None
    timeout: int | None = None
    dynamic: bool | None = None
    dynamic_node_properties: Map | None = None
    distribution_mode: str | None = None
    filter: Map | None = None
    default_outcome: DeliveryState | None = None
    outcomes: Sequence[str] | None = None
    capabilities: Sequence[str] | None = None


class Target(Composite, frozen=True, kw_only=True):
    """Where a link's messages go."""

    CODE, NAME = 0x29, "target"
    FIELDS = (
        Field("address", ANY),
        Field("durable", UINT),
        Field("expiry_policy", SYMBOL),
        Field("timeout", UINT),
        Field("dynamic", BOOLEAN),
        Field("dynamic_node_properties", MAP),
        Field("capabilities", SYMBOLS),
    )
    address: object = None
    durable: int | None = None
    expiry_policy: str | None = None
    timeout: int | None = None
    dynamic: bool | None = None
    dynamic_node_properties: Map | None = None
    capabilities: Sequence[str] | None = None


class Coordinator(Composite, frozen=True, kw_only=True):
    """The target of a link that controls transactions."""

    CODE, NAME = 0x30, "coordinator"
    FIELDS = (Field("capabilities", SYMBOLS),)
    capabilities: Sequence[str] | None = None


SOURCE: Final = one_of("source", family(Source))
TARGET: Final = one_of("target", family(Target, Coordinator))
