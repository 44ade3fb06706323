"""A client's connection in Service Bus's dialect: which link is for what."""

from __future__ import annotations

from collections.abc import Callable

from cloudq.emulators.service_bus.amqp.engine import Connection
from cloudq.emulators.service_bus.amqp.errors import AmqpError, ErrorCondition
from cloudq.emulators.service_bus.amqp.events import (
    Attached,
    CreditChanged,
    Detached,
    Event,
    MessageReceived,
    OutcomeReceived,
    WindowOpened,
)
from cloudq.emulators.service_bus.amqp.links import IncomingLink, Link, LinkState, OutgoingLink
from cloudq.emulators.service_bus.amqp.termini import Target
from cloudq.emulators.service_bus.broker.api import Messaging
from cloudq.emulators.service_bus.dialect.addresses import Node, NodeKind, parse_node
from cloudq.emulators.service_bus.dialect.cbs import ClaimsBasedSecurity
from cloudq.emulators.service_bus.dialect.errors import amqp_errors
from cloudq.emulators.service_bus.dialect.faults import ConnectionDropped, FaultPoint, Faults
from cloudq.emulators.service_bus.dialect.handlers import LinkHandler, Surroundings
from cloudq.emulators.service_bus.dialect.management import Management
from cloudq.emulators.service_bus.dialect.receivers import open_receiver
from cloudq.emulators.service_bus.dialect.requests import Request, RequestLink, ResponseLink
from cloudq.emulators.service_bus.dialect.senders import EntitySender


class Client:
    """Deals with the events of one connection."""

    __slots__ = ("_around", "_cbs", "_connection", "_handlers", "_nodes")

    def __init__(self, connection: Connection, broker: Messaging, faults: Faults, drop: Callable[[], None]) -> None:
        self._connection = connection
        self._around = Surroundings(broker=broker, faults=faults, drop=drop)
        self._cbs = ClaimsBasedSecurity(broker, faults)
        self._handlers: dict[Link, LinkHandler] = {}
        self._nodes: dict[ResponseLink, Node] = {}

    def process(self) -> None:
        """Deals with what the connection was fed."""
        for event in self._connection.events():
            try:
                self._on_event(event)
            except ConnectionDropped:
                self._around.drop()
                return

    def lost(self) -> None:
        """The transport is gone: all links are."""
        self._connection.lost()
        for event in self._connection.events():
            if isinstance(event, Detached):
                self._on_detached(event.link)

    def update_credit(self) -> None:
        """The transport is full, or isn't any more: receivers take nothing, or what they have credit for."""
        for link, handler in list(self._handlers.items()):
            if isinstance(link, OutgoingLink):
                handler.on_credit(drain=False)

    def _on_event(self, event: Event) -> None:
        match event:
            case MessageReceived(link, delivery):
                if link in self._handlers:
                    self._handlers[link].on_message(delivery)
            case OutcomeReceived(delivery, state, settled):
                if delivery.link in self._handlers:
                    self._handlers[delivery.link].on_outcome(delivery, state, settled=settled)
            case CreditChanged(link, drain):
                if link in self._handlers:
                    self._handlers[link].on_credit(drain=drain)
            case Attached(link):
                self._on_attached(link)
            case Detached(link):
                self._on_detached(link)
            case WindowOpened(session):
                for link in session.links():
                    if link in self._handlers and isinstance(link, OutgoingLink):
                        self._handlers[link].on_credit(drain=False)

    def _on_detached(self, link: Link) -> None:
        handler = self._handlers.pop(link, None)
        if isinstance(handler, ResponseLink):
            self._nodes.pop(handler, None)
        if handler is not None:
            handler.on_detached()

    # ── attaching ────────────────────────────────────────────────────────────────────────────────────────

    def _on_attached(self, link: Link) -> None:
        try:
            handler = self._open(link)
        except AmqpError as error:
            link.refuse(error)
            return
        if link.state is not LinkState.DETACHED:
            self._handlers[link] = handler

    def _open(self, link: Link) -> LinkHandler:
        if isinstance(link, OutgoingLink):
            return self._open_outgoing(link)
        if not isinstance(link, IncomingLink):
            raise TypeError(link)
        target = link.attach.target
        if not isinstance(target, Target):
            raise AmqpError(ErrorCondition.NOT_IMPLEMENTED, "The emulator has no transactions.")
        node = parse_node(target.address)
        if node.kind is NodeKind.CBS:
            return RequestLink(link, self._cbs, _Responses(self._nodes, node))
        if node.kind is NodeKind.MANAGEMENT:
            with amqp_errors():
                management = Management(node.address, self._around.broker, self._around.faults)
            return RequestLink(link, management, _Responses(self._nodes, node))
        self._around.faults.check(FaultPoint.ATTACH)
        return EntitySender(link, node.address, self._around)

    def _open_outgoing(self, link: OutgoingLink) -> LinkHandler:
        source = link.attach.source
        node = parse_node(None if source is None else source.address)
        if node.kind is NodeKind.ENTITY:
            self._around.faults.check(FaultPoint.ATTACH)
            return open_receiver(link, node.address, self._around)
        if node.kind is NodeKind.MANAGEMENT:
            with amqp_errors():
                Management(node.address, self._around.broker, self._around.faults)
        responses = ResponseLink(link)
        self._nodes[responses] = node
        return responses


class _Responses:
    """The response links of a connection, as one node looks for them."""

    __slots__ = ("_node", "_nodes")

    def __init__(self, nodes: dict[ResponseLink, Node], node: Node) -> None:
        self._nodes = nodes
        self._node = node

    def response_link(self, request: Request) -> ResponseLink | None:
        """The link with the target that the request names, else one of the same node: `$cbs` isn't given a name."""
        of_node = [link for link, node in self._nodes.items() if _same(node, self._node)]
        named = [link for link in of_node if request.reply_to is not None and link.reply_to == request.reply_to]
        return next(iter(named or of_node), None)


def _same(one: Node, other: Node) -> bool:
    return one.kind is other.kind and one.address.key == other.address.key and (
        one.address.sub_queue is other.address.sub_queue
    )  # fmt: skip
