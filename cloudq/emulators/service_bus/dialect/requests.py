"""Requests over one link, responses over another: how `$cbs` and `$management` are spoken to."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from cloudq.emulators.service_bus.amqp.decoding import decode
from cloudq.emulators.service_bus.amqp.encoding import encode, encode_described
from cloudq.emulators.service_bus.amqp.errors import AmqpError, ErrorCondition
from cloudq.emulators.service_bus.amqp.links import IncomingDelivery, IncomingLink, OutgoingLink
from cloudq.emulators.service_bus.amqp.sections import Section, data_of, list_of, map_of, split
from cloudq.emulators.service_bus.amqp.states import ACCEPTED, Error, Rejected
from cloudq.emulators.service_bus.dialect.handlers import LinkHandler

CREDIT: Final = 100
MAX_SIZE: Final = 1_048_576
"""Of a request, in bytes: messages that are scheduled come in one."""
MOST_WAITING: Final = 1000
"""Responses that wait because the client takes none."""
_MESSAGE_ID, _REPLY_TO = 0, 4


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request. The body may be a token: it is never shown."""

    message_id: object
    reply_to: object
    properties: Mapping[object, object]
    body: object

    @property
    def operation(self) -> str:
        """What is asked for."""
        return str(self.properties.get("operation"))

    def __repr__(self) -> str:
        return f"Request({self.operation!r})"


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered."""

    properties: Mapping[object, object]
    body: object = None

    def encode(self, correlation_id: object) -> bytes:
        """The response as a message."""
        properties = encode([None, None, None, None, None, correlation_id])
        return (
            encode_described(Section.PROPERTIES, properties)
            + encode_described(Section.APPLICATION_PROPERTIES, encode(dict(self.properties)))
            + encode_described(Section.VALUE, encode(self.body))
        )


class Service(Protocol):
    """What answers requests."""

    def answer(self, request: Request) -> Response:
        """The response, also if something is wrong with the request."""
        ...


def read_request(payload: bytes) -> Request:
    """Reads a request. Raises `AmqpError`."""
    properties: list[object] = []
    application_properties: Mapping[object, object] = {}
    body: object = None
    for part in split(payload):
        if part.section is Section.PROPERTIES:
            properties = list_of(payload, part)
        elif part.section is Section.APPLICATION_PROPERTIES:
            application_properties = map_of(payload, part)
        elif part.section is Section.VALUE:
            body, _ = decode(payload, part.value)
        elif part.section is Section.DATA:
            body = data_of(payload, part)
    properties += [None] * (_REPLY_TO + 1 - len(properties))
    return Request(
        message_id=properties[_MESSAGE_ID],
        reply_to=properties[_REPLY_TO],
        properties=application_properties,
        body=body,
    )


class ResponseLink(LinkHandler):
    """A link on which a client waits for responses."""

    __slots__ = ("_link", "_waiting", "reply_to")

    def __init__(self, link: OutgoingLink) -> None:
        self._link = link
        self._waiting: deque[bytes] = deque()
        target = link.attach.target
        self.reply_to = getattr(target, "address", None)
        link.accept(max_message_size=MAX_SIZE)

    def send(self, message: bytes) -> None:
        """Sends a response as soon as the client takes it.

        Raises:
            AmqpError: Too many are waiting already.
        """
        if len(self._waiting) >= MOST_WAITING:
            text = f"{MOST_WAITING} responses wait for the client to take them"
            raise AmqpError(ErrorCondition.RESOURCE_LIMIT_EXCEEDED, text)
        self._waiting.append(message)
        self.on_credit(drain=False)

    def on_credit(self, *, drain: bool) -> None:  # noqa: ARG002 - nothing is held back when draining either
        """Sends what is waiting."""
        while self._waiting and self._link.ready:
            tag = self._link.delivery_count.to_bytes(4)
            self._link.send(self._waiting.popleft(), tag, settled=True)


class Responders(Protocol):
    """Finds the link for a response."""

    def response_link(self, request: Request) -> ResponseLink | None:
        """The link that the request names, or the one that belongs to its node."""
        ...


class RequestLink(LinkHandler):
    """A link on which a client sends requests."""

    __slots__ = ("_responders", "_service")

    def __init__(self, link: IncomingLink, service: Service, responders: Responders) -> None:
        self._service = service
        self._responders = responders
        link.max_message_size = MAX_SIZE
        link.accept(max_message_size=MAX_SIZE)
        link.grant(CREDIT)

    def on_message(self, delivery: IncomingDelivery) -> None:
        """Answers a request. One that can't be read, or whose answer has nowhere to go, is rejected."""
        try:
            request = read_request(delivery.payload)
            link = self._responders.response_link(request)
            if link is None:
                raise AmqpError(ErrorCondition.NOT_FOUND, f"no link takes the response to {request.operation}")
            link.send(self._service.answer(request).encode(request.message_id))
        except AmqpError as error:
            delivery.settle(Rejected(error=Error.of(error)))
        else:
            delivery.settle(ACCEPTED)
