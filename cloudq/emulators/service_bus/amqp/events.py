"""What a connection tells its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cloudq.emulators.service_bus.amqp.performatives import Open
from cloudq.emulators.service_bus.amqp.states import DeliveryState, Error

if TYPE_CHECKING:
    from cloudq.emulators.service_bus.amqp.links import (
        IncomingDelivery,
        IncomingLink,
        Link,
        OutgoingDelivery,
        OutgoingLink,
    )
    from cloudq.emulators.service_bus.amqp.session import Session


class Opened(msgspec.Struct, frozen=True):
    """The client opened the connection, and was answered."""

    open: Open


class Attached(msgspec.Struct, frozen=True):
    """The client wants a link: `accept` or `refuse` it, now or later."""

    link: Link


class CreditChanged(msgspec.Struct, frozen=True):
    """The client takes another number of messages on a link.

    With `drain` it wants what there is at once: what isn't sent by the time this event has been dealt with is given up.
    """

    link: OutgoingLink
    drain: bool = False


class WindowOpened(msgspec.Struct, frozen=True):
    """A session that was congested isn't any more."""

    session: Session


class MessageReceived(msgspec.Struct, frozen=True):
    """A whole message arrived: `settle` its delivery."""

    link: IncomingLink
    delivery: IncomingDelivery


class OutcomeReceived(msgspec.Struct, frozen=True):
    """The client states what became of a delivery. Unless it `settled` it itself, `settle` it."""

    delivery: OutgoingDelivery
    state: DeliveryState | None
    settled: bool


class Detached(msgspec.Struct, frozen=True):
    """A link is gone: the client detached it, or its session or connection ended. The last event about it."""

    link: Link
    error: Error | None = None


class Closed(msgspec.Struct, frozen=True):
    """The connection is over. The last event."""

    error: Error | None = None


Event = (
    Opened
    | Attached
    | CreditChanged
    | WindowOpened
    | MessageReceived
    | OutcomeReceived
    | Detached
    | Closed
)  # fmt: skip
