"""Links on which a client sends to a queue or a topic."""

from __future__ import annotations

from typing import Final

from cloudq.emulators.service_bus.amqp.errors import AmqpError, ErrorCondition
from cloudq.emulators.service_bus.amqp.links import IncomingDelivery, IncomingLink
from cloudq.emulators.service_bus.amqp.states import ACCEPTED, Error, Rejected
from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.dialect.errors import amqp_errors
from cloudq.emulators.service_bus.dialect.faults import FaultPoint
from cloudq.emulators.service_bus.dialect.handlers import LinkHandler, Surroundings
from cloudq.emulators.service_bus.dialect.messages import WireMessage, parse, parse_batch
from cloudq.emulators.service_bus.dialect.names import BATCH_FORMAT

CREDIT: Final = 1000
MAX_BATCH_SIZE: Final = 1_048_576
"""Of a batch, in bytes, even where messages may be larger ("Service Bus quotas", Microsoft Learn, 2024-11)."""


class EntitySender(LinkHandler):
    """Stores what the client sends."""

    __slots__ = ("_address", "_around")

    def __init__(self, link: IncomingLink, address: Address, around: Surroundings) -> None:
        """Accepts the link, or raises `AmqpError`."""
        self._address = address
        self._around = around
        with amqp_errors():
            entity = around.broker.sender_entity(address)
        link.max_message_size = entity.max_message_size
        link.accept(max_message_size=entity.max_message_size)
        link.grant(CREDIT)

    def on_message(self, delivery: IncomingDelivery) -> None:
        """Stores a message, or all messages of a batch."""
        self._around.faults.transfer()
        try:
            self._around.faults.check(FaultPoint.SEND)
            messages = self._read(delivery)
            with amqp_errors():
                self._around.broker.send(self._address, messages)
        except AmqpError as error:
            delivery.settle(Rejected(error=Error.of(error)))
        else:
            delivery.settle(ACCEPTED)

    def _read(self, delivery: IncomingDelivery) -> list[WireMessage]:
        if delivery.message_format == 0:
            return [parse(delivery.payload)]
        if delivery.message_format != BATCH_FORMAT:
            text = f"a message of the format 0x{delivery.message_format:x} can't be read"
            raise AmqpError(ErrorCondition.NOT_IMPLEMENTED, text)
        if len(delivery.payload) > MAX_BATCH_SIZE:
            text = f"a batch of {len(delivery.payload)} bytes: the largest has {MAX_BATCH_SIZE}"
            raise AmqpError(ErrorCondition.MESSAGE_SIZE_EXCEEDED, text)
        return parse_batch(delivery.payload)
