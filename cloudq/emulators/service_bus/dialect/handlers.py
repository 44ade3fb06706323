"""What every link of the dialect is given and can be told."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cloudq.emulators.service_bus.amqp.links import IncomingDelivery, OutgoingDelivery
from cloudq.emulators.service_bus.amqp.states import DeliveryState
from cloudq.emulators.service_bus.broker.api import Messaging
from cloudq.emulators.service_bus.dialect.faults import Faults


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a link works with.

    Attributes:
        broker: Keeps the messages.
        faults: What is to go wrong.
        drop: Cuts the link's connection.
    """

    broker: Messaging
    faults: Faults
    drop: Callable[[], None]


class LinkHandler:
    """One link. What a link isn't for is ignored."""

    __slots__ = ()

    def on_message(self, delivery: IncomingDelivery) -> None:
        """A message came in."""

    def on_credit(self, *, drain: bool) -> None:
        """The client's credit changed, or its window opened. With `drain`, what isn't sent now is given up."""

    def on_outcome(self, delivery: OutgoingDelivery, state: DeliveryState | None, *, settled: bool) -> None:
        """The client says what became of a message."""

    def on_detached(self) -> None:
        """The link is gone."""
