"""Links and deliveries, from the server's side (AMQP 1.0, parts 2.6 and 3.2.16)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final

from cloudq.emulators.service_bus.amqp.errors import AmqpError, ErrorCondition
from cloudq.emulators.service_bus.amqp.performatives import Attach, Detach, Disposition, Transfer
from cloudq.emulators.service_bus.amqp.states import ACCEPTED, DeliveryState, Error, Rejected
from cloudq.emulators.service_bus.amqp.termini import Coordinator, Source, Target

if TYPE_CHECKING:
    from cloudq.emulators.service_bus.amqp.session import Session

SERIAL: Final = 2**32
"""Counts and ids of 32 bits start again at 0 (RFC 1982)."""
SETTLED: Final = 1
"""The sender's settle mode for deliveries that are settled when they are sent."""


class LinkState(Enum):
    """How far a link is."""

    ASKED_FOR = "asked for"
    OPEN = "open"
    DETACHING = "detaching"
    DETACHED = "detached"


class Link:
    """What both directions have in common.

    Attributes:
        session: The session that it belongs to.
        attach: How the client asked for it.
        state: How far it is.
    """

    __slots__ = ("attach", "session", "state")

    def __init__(self, session: Session, attach: Attach) -> None:
        self.session = session
        self.attach = attach
        self.state = LinkState.ASKED_FOR

    @property
    def handle(self) -> int:
        """The link's number in its session; both sides use the client's."""
        return self.attach.handle

    def accept(
        self,
        *,
        source: Source | None = None,
        properties: Mapping[object, object] | None = None,
        max_message_size: int | None = None,
    ) -> None:
        """Answers the client's attach, with its source and target as they came unless there is another source."""
        if self.state is not LinkState.ASKED_FOR:
            return
        self.state = LinkState.OPEN
        self._answer(source or self.attach.source, self.attach.target, properties, max_message_size)

    def refuse(self, error: AmqpError) -> None:
        """Answers the client's attach with a link that is closed at once.

        It has neither source nor target, by which the client knows that an error follows (part 2.6.3).
        """
        if self.state is LinkState.ASKED_FOR:
            self._answer(None, None, None, None)
            self._detach(Error.of(error))

    def detach(self, error: AmqpError | None = None) -> None:
        """Closes the link. The event `Detached` comes when the client has answered."""
        if self.state is LinkState.ASKED_FOR:
            self._answer(None, None, None, None)
        if self.state in (LinkState.ASKED_FOR, LinkState.OPEN):
            self._detach(None if error is None else Error.of(error))

    def detached_by_peer(self, detach: Detach) -> None:
        """The client detached it: answers, unless that was the answer."""
        if self.state is LinkState.ASKED_FOR:
            self._answer(None, None, None, None)
        if self.state is not LinkState.DETACHING:
            self._detach(None, closed=detach.closed)
        self.state = LinkState.DETACHED

    def _detach(self, error: Error | None, *, closed: bool = True) -> None:
        self.state = LinkState.DETACHING
        self.session.send(Detach(handle=self.handle, closed=closed, error=error))

    def _answer(
        self,
        source: Source | None,
        target: Target | Coordinator | None,
        properties: Mapping[object, object] | None,
        max_message_size: int | None,
    ) -> None:
        asked = self.attach
        self.session.send(
            Attach(
                name=asked.name,
                handle=asked.handle,
                role=not asked.role,
                snd_settle_mode=asked.snd_settle_mode,
                rcv_settle_mode=asked.rcv_settle_mode,
                source=source,
                target=target,
                initial_delivery_count=0 if asked.role else None,
                max_message_size=max_message_size,
                properties=properties,
            )
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.attach.name!r}, {self.state.value}>"


class IncomingDelivery:
    """A message from the client.

    Attributes:
        link: Where it came in.
        delivery_id: Its number in the session.
        tag: What the client calls it.
        message_format: Of what form `payload` is; 0 is AMQP's own.
        settled: Whether it is settled: the client may settle it when it sends it.
        payload: The encoded message.
        size: How many bytes of it came.
    """

    __slots__ = ("_parts", "delivery_id", "link", "message_format", "payload", "settled", "size", "tag")

    def __init__(self, link: IncomingLink, first: Transfer, delivery_id: int) -> None:
        self.link = link
        self.delivery_id = delivery_id
        self.tag = first.delivery_tag or b""
        self.message_format = first.message_format or 0
        self.settled = bool(first.settled)
        self.payload = b""
        self.size = 0
        self._parts: list[bytes] = []

    def add(self, part: bytes, *, more: bool, keep: bool) -> None:
        """Takes what a transfer brought; the last one completes `payload`. What isn't kept is only counted."""
        self.size += len(part)
        if not keep:
            self._parts.clear()
            return
        self._parts.append(part)
        if not more:
            self.payload = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts = []

    def settle(self, state: DeliveryState = ACCEPTED) -> None:
        """Tells the client what became of it. A delivery that is settled stays as it is."""
        if self.settled or self.link.state is LinkState.DETACHED:
            return
        self.settled = True
        self.link.session.send(
            Disposition(role=True, first=self.delivery_id, last=self.delivery_id, settled=True, state=state)
        )


class IncomingLink(Link):
    """The client is the sender.

    Attributes:
        credit: How many more messages the client may send. It isn't held to it: some clients don't count.
        max_message_size: A larger message is rejected.
    """

    __slots__ = ("_full", "_partial", "credit", "delivery_count", "max_message_size")

    def __init__(self, session: Session, attach: Attach) -> None:
        super().__init__(session, attach)
        self.credit = 0
        self.delivery_count = attach.initial_delivery_count or 0
        self.max_message_size = session.limits.max_message_size
        self._full = 0
        self._partial: IncomingDelivery | None = None

    def grant(self, credit: int) -> None:
        """Lets the client send that many messages, and again that many whenever half of them are used."""
        self._full = self.credit = credit
        self.send_flow()

    def send_flow(self) -> None:
        """States the link's credit."""
        self.session.send_flow(handle=self.handle, delivery_count=self.delivery_count, link_credit=self.credit)

    def take(self, transfer: Transfer, part: bytes) -> IncomingDelivery | None:
        """Takes a transfer; with the last one of a message, the delivery.

        A message that is too large is never in memory as a whole: it is rejected when its last transfer has come.

        Raises:
            AmqpError: A message's first transfer has no delivery id.
        """
        delivery = self._partial
        if transfer.aborted:
            self._partial = None
            self._count()
            return None
        if delivery is None:
            if transfer.delivery_id is None:
                raise AmqpError(ErrorCondition.INVALID_FIELD, "a message's first transfer has no delivery id")
            delivery = IncomingDelivery(self, transfer, transfer.delivery_id)
        elif transfer.settled:
            delivery.settled = True
        delivery.add(part, more=transfer.more, keep=delivery.size + len(part) <= self.max_message_size)
        self._partial = delivery if transfer.more else None
        if transfer.more:
            return None
        self._count()
        if delivery.size <= self.max_message_size:
            return delivery
        text = (
            f"The received message (delivery-id:{delivery.delivery_id}, size:{delivery.size} bytes) exceeds the limit "
            f"({self.max_message_size} bytes) currently allowed on the link."
        )
        # azure-servicebus 7.15 has no error of its own for a link that is detached while it sends, but one for this.
        delivery.settle(Rejected(error=Error.of(AmqpError(ErrorCondition.MESSAGE_SIZE_EXCEEDED, text))))
        return None

    def _count(self) -> None:
        self.delivery_count = (self.delivery_count + 1) % SERIAL
        self.credit = max(0, self.credit - 1)

    def replenish(self) -> None:
        """Lets the client send on, if half of what it was granted is used."""
        if self.credit <= self._full // 2 and self.state is LinkState.OPEN and self._full:
            self.credit = self._full
            self.send_flow()


class OutgoingDelivery:
    """A message to the client that it hasn't settled.

    Attributes:
        link: Where it went out.
        delivery_id: Its number in the session.
        tag: What the server calls it.
    """

    __slots__ = ("delivery_id", "link", "tag")

    def __init__(self, link: OutgoingLink, delivery_id: int, tag: bytes) -> None:
        self.link = link
        self.delivery_id = delivery_id
        self.tag = tag

    def settle(self, state: DeliveryState) -> None:
        """Tells the client that its outcome is final: as it said, or another."""
        session = self.link.session
        if session.unsettled.pop(self.delivery_id, None) is not None:
            session.send(
                Disposition(role=False, first=self.delivery_id, last=self.delivery_id, settled=True, state=state)
            )


class OutgoingLink(Link):
    """The client is the receiver.

    Attributes:
        credit: How many more messages the client takes.
    """

    __slots__ = ("credit", "delivery_count")

    def __init__(self, session: Session, attach: Attach) -> None:
        super().__init__(session, attach)
        self.credit = 0
        self.delivery_count = 0

    @property
    def presettled(self) -> bool:
        """Whether messages are settled when they are sent."""
        return self.attach.snd_settle_mode == SETTLED

    @property
    def ready(self) -> int:
        """How many messages may be sent now: the credit, or 0 while the session is congested."""
        return 0 if self.session.congested or self.state is not LinkState.OPEN else self.credit

    def send(self, payload: bytes, tag: bytes, *, settled: bool) -> OutgoingDelivery | None:
        """Sends a message, in as many frames as it needs. Returns the delivery, if it is to be settled.

        Frames that the session's window doesn't let through wait in memory: don't send while nothing is `ready`.
        """
        self.credit = max(0, self.credit - 1)
        self.delivery_count = (self.delivery_count + 1) % SERIAL
        delivery_id = self.session.transfer(self.handle, payload, tag, settled=settled)
        if settled:
            return None
        delivery = OutgoingDelivery(self, delivery_id, tag)
        self.session.unsettled[delivery_id] = delivery
        return delivery

    def set_credit(self, delivery_count: int | None, credit: int) -> None:
        """Takes the client's credit, which it states from the messages that it has seen (part 2.6.7)."""
        seen = 0 if delivery_count is None else delivery_count
        left = (seen + credit - self.delivery_count) % SERIAL
        self.credit = left if left < SERIAL // 2 else 0

    def give_up_credit(self) -> None:
        """Uses up the credit without sending: the end of a drain."""
        self.delivery_count = (self.delivery_count + self.credit) % SERIAL
        self.credit = 0

    def send_flow(self, *, drain: bool = False) -> None:
        """States the link's credit."""
        self.session.send_flow(
            handle=self.handle, delivery_count=self.delivery_count, link_credit=self.credit, drain=drain
        )
