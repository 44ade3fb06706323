"""Links on which a client receives from a queue, a subscription, a sub-queue or a session."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from cloudq.emulators.service_bus.amqp.errors import AmqpError, ErrorCondition
from cloudq.emulators.service_bus.amqp.links import OutgoingDelivery, OutgoingLink
from cloudq.emulators.service_bus.amqp.states import DeliveryState, Error, Rejected
from cloudq.emulators.service_bus.amqp.termini import Source
from cloudq.emulators.service_bus.amqp.types import Described
from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import BrokerError, Received, ReceiveMode
from cloudq.emulators.service_bus.broker.ends import Receiver, SessionReceiver, Waiting
from cloudq.emulators.service_bus.dialect import names
from cloudq.emulators.service_bus.dialect.errors import amqp_errors, as_amqp
from cloudq.emulators.service_bus.dialect.faults import Answer, ConnectionDropped, FaultPoint
from cloudq.emulators.service_bus.dialect.handlers import LinkHandler, Surroundings
from cloudq.emulators.service_bus.dialect.messages import encode_received
from cloudq.emulators.service_bus.dialect.outcomes import apply_outcome

SESSION_WAIT: Final = timedelta(seconds=65)
"""How long a link waits for a session if the client doesn't say."""


class EntityReceiver(LinkHandler):
    """Hands messages over and settles them. It is the broker's sink."""

    __slots__ = ("_address", "_around", "_link", "_mode", "_receiver")

    def __init__(self, link: OutgoingLink, address: Address, around: Surroundings) -> None:
        """Accepts the link, or raises `AmqpError`."""
        self._link = link
        self._address = address
        self._around = around
        self._mode = ReceiveMode.RECEIVE_AND_DELETE if link.presettled else ReceiveMode.PEEK_LOCK
        self._receiver: Receiver | None = None
        self._open()

    def _open(self) -> None:
        with amqp_errors():
            entity = self._around.broker.receiver_entity(self._address)
            self._receiver = self._around.broker.open_receiver(self._address, self._mode, self)
        self._link.accept(max_message_size=entity.max_message_size)

    # ── from the broker ──────────────────────────────────────────────────────────────────────────────────

    def deliver(self, received: Received) -> None:
        """Sends a message to the client."""
        try:
            self._around.faults.transfer()
        except ConnectionDropped:
            self._around.drop()
            self._stop()
            return
        token = received.lock_token
        tag = received.sequence_number.to_bytes(16) if token is None else token.bytes_le
        self._link.send(encode_received(received), tag, settled=token is None)
        if self._link.ready == 0:
            self._stop()  # the window may be shut: on_credit tells when it opens

    def _stop(self) -> None:
        if self._receiver is not None and self._receiver.credit:
            self._receiver.set_credit(0)

    def ended(self, error: BrokerError) -> None:
        """Closes the link: the broker has closed the receiver."""
        self._receiver = None
        self._link.detach(as_amqp(error))

    # ── from the client ──────────────────────────────────────────────────────────────────────────────────

    def on_credit(self, *, drain: bool) -> None:
        """Takes what the client has room for."""
        if self._receiver is not None:
            self._receiver.set_credit(self._link.ready)
        if self._receiver is not None and drain:
            self._receiver.set_credit(0)

    def on_outcome(self, delivery: OutgoingDelivery, state: DeliveryState | None, *, settled: bool) -> None:
        """Settles a message and tells the client that it is settled, or why it isn't."""
        if state is None:
            return
        answer = self._around.faults.settlement()
        if answer is Answer.UNHEARD:
            return
        try:
            self._around.faults.check(FaultPoint.SETTLE)
            told = apply_outcome(self._around.broker, self._address, UUID(bytes_le=delivery.tag), state)
        except AmqpError as error:
            told = Rejected(error=Error.of(error))
        if answer is Answer.GIVEN and not settled:
            delivery.settle(told)

    def on_detached(self) -> None:
        """Closes the receiver; the locks of its messages stay."""
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None


class EntitySessionReceiver(EntityReceiver):
    """Waits for a session, then hands its messages over."""

    __slots__ = ("_max_message_size", "_waiting")

    def _open(self) -> None:
        self._waiting: Waiting | None = None
        with amqp_errors():
            self._max_message_size = self._around.broker.receiver_entity(self._address).max_message_size
            self._waiting = self._around.broker.accept_session(
                self._address, _asked_session(self._link), self._mode, self, _wait(self._link)
            )

    def accepted(self, receiver: SessionReceiver) -> None:
        """Tells the client which session it has, and until when."""
        self._receiver = receiver
        self._link.accept(
            source=_source_with(self._link.attach.source, receiver.session_id),
            properties={names.SESSION_LOCKED_UNTIL: names.to_ticks(receiver.locked_until)},
            max_message_size=self._max_message_size,
        )
        if self._link.credit:
            self.on_credit(drain=False)

    def refused(self, error: BrokerError) -> None:
        """Tells the client that it has no session."""
        self._link.refuse(as_amqp(error))

    def on_detached(self) -> None:
        """Stops waiting, or gives the session up."""
        if self._waiting is not None:
            self._waiting.cancel()
        super().on_detached()


def open_receiver(link: OutgoingLink, address: Address, around: Surroundings) -> LinkHandler:
    """A receiver, of a session if the link's source has the filter for one. Raises `AmqpError`."""
    kind = EntityReceiver if _session_filter(link) is None else EntitySessionReceiver
    return kind(link, address, around)


def _session_filter(link: OutgoingLink) -> tuple[object, object] | None:
    """The filter's key and value."""
    source = link.attach.source
    for key, value in ((source and source.filter) or {}).items():
        name = key.decode("latin-1") if isinstance(key, bytes) else key
        if name == names.SESSION_FILTER:
            return key, value
    return None


def _asked_session(link: OutgoingLink) -> str | None:
    found = _session_filter(link)
    value = None if found is None else found[1]
    value = value.value if isinstance(value, Described) else value
    if value is None or isinstance(value, str):
        return value
    raise AmqpError(ErrorCondition.INVALID_FIELD, f"a session id is a string, not a {type(value).__name__}")


def _wait(link: OutgoingLink) -> timedelta:
    millis = (link.attach.properties or {}).get(names.LINK_TIMEOUT)
    return timedelta(milliseconds=millis) if isinstance(millis, int) else SESSION_WAIT


def _source_with(source: Source | None, session_id: str) -> Source:
    """The client's source with the session that it got: it reads its id from there."""
    source = source or Source()
    filters = dict(source.filter or {})
    for key, value in filters.items():
        if key == names.SESSION_FILTER or key == names.SESSION_FILTER.encode():
            filters[key] = Described(value.descriptor, session_id) if isinstance(value, Described) else session_id
    return msgspec.structs.replace(source, filter=filters)
