"""A session: links, windows, and transfers in as many frames as they need (AMQP 1.0, part 2.5)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from cloudq.emulators.service_bus.amqp.composites import Composite
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
from cloudq.emulators.service_bus.amqp.frames import HEADER_SIZE
from cloudq.emulators.service_bus.amqp.links import (
    SERIAL,
    IncomingLink,
    Link,
    LinkState,
    OutgoingDelivery,
    OutgoingLink,
)
from cloudq.emulators.service_bus.amqp.performatives import Attach, Begin, Detach, Disposition, Flow, Transfer
from cloudq.emulators.service_bus.amqp.states import Error

WINDOW: Final = 2**31 - 1
"""What the client may send at once. Messages are dealt with as they arrive: the transport is what slows it down."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the server takes of a client.

    Attributes:
        max_frame_size: In bytes.
        max_message_size: In bytes, of links that weren't accepted with another.
        channel_max: The highest number of a channel.
        handle_max: The highest number of a link in a session.
    """

    max_frame_size: int = 65_536
    max_message_size: int = 262_144
    channel_max: int = 255
    handle_max: int = 255


class Session:
    """The server's side of a session. Both sides use the client's channel number.

    Attributes:
        limits: What is taken of the client.
        paused: Whether the transport is full.
        unsettled: Deliveries to the client that aren't settled, by their ids.
    """

    __slots__ = (
        "_links",
        "_next_delivery",
        "_next_incoming",
        "_next_outgoing",
        "_send",
        "_waiting",
        "_window",
        "limits",
        "max_frame_size",
        "paused",
        "unsettled",
    )

    def __init__(
        self, begin: Begin, limits: Limits, max_frame_size: int, send: Callable[[Composite, bytes], None]
    ) -> None:
        self.limits = limits
        self.max_frame_size = max_frame_size
        self.paused = False
        self.unsettled: dict[int, OutgoingDelivery] = {}
        self._send = send
        self._links: dict[int, Link] = {}
        self._next_incoming = begin.next_outgoing_id
        self._window = begin.incoming_window
        self._next_outgoing = 0
        self._next_delivery = 0
        self._waiting: deque[tuple[Transfer, bytes]] = deque()

    # ── to the client ────────────────────────────────────────────────────────────────────────────────────

    @property
    def congested(self) -> bool:
        """Whether nothing should be sent: the transport is full, or the client's window shut."""
        return self.paused or self._shut

    @property
    def _shut(self) -> bool:
        return bool(self._waiting) or self._window <= 0

    def links(self) -> list[Link]:
        """The links that aren't gone."""
        return list(self._links.values())

    def send(self, performative: Composite, payload: bytes = b"") -> None:
        """Sends a frame on the session's channel."""
        self._send(performative, payload)

    def send_begin(self, channel: int) -> None:
        """Answers the client's begin."""
        self.send(
            Begin(
                remote_channel=channel,
                next_outgoing_id=self._next_outgoing,
                incoming_window=WINDOW,
                outgoing_window=WINDOW,
                handle_max=self.limits.handle_max,
            )
        )

    def send_flow(
        self,
        *,
        handle: int | None = None,
        delivery_count: int | None = None,
        link_credit: int | None = None,
        drain: bool = False,
    ) -> None:
        """States the windows, and a link's credit."""
        self.send(
            Flow(
                next_incoming_id=self._next_incoming,
                incoming_window=WINDOW,
                next_outgoing_id=self._next_outgoing,
                outgoing_window=WINDOW,
                handle=handle,
                delivery_count=delivery_count,
                link_credit=link_credit,
                drain=drain,
            )
        )

    def transfer(self, handle: int, payload: bytes, tag: bytes, *, settled: bool) -> int:
        """Sends a message in as many frames as it needs, or as soon as the window opens. Returns its delivery id."""
        delivery_id = self._next_delivery
        self._next_delivery = (delivery_id + 1) % SERIAL
        head = Transfer(handle=handle, delivery_id=delivery_id, delivery_tag=tag, message_format=0, settled=settled)
        # Heads of later frames are no longer than the first one's.
        room = self.max_frame_size - HEADER_SIZE - len(head.encode()) if len(payload) > 256 else len(payload)
        if len(payload) <= room:
            self._forward(head, payload)
            return delivery_id
        for start in range(0, len(payload), room):
            more = start + room < len(payload)
            self._forward(msgspec.structs.replace(head, more=more), payload[start : start + room])
        return delivery_id

    def _forward(self, transfer: Transfer, payload: bytes) -> None:
        if self._shut:
            self._waiting.append((transfer, payload))
            return
        self._window -= 1
        self._next_outgoing = (self._next_outgoing + 1) % SERIAL
        self.send(transfer, payload)

    # ── from the client ──────────────────────────────────────────────────────────────────────────────────

    def receive(self, performative: Composite, payload: bytes) -> Iterator[Event]:
        """Deals with a frame on the session's channel.

        Raises:
            AmqpError: The session can't go on.
        """
        match performative:
            case Transfer():
                yield from self._on_transfer(performative, payload)
            case Disposition():
                yield from self._on_disposition(performative)
            case Flow():
                yield from self._on_flow(performative)
            case Attach():
                yield self._on_attach(performative)
            case Detach():
                yield from self._on_detach(performative)
            case _:
                raise AmqpError(ErrorCondition.NOT_ALLOWED, f"{performative.NAME} has no place in a session")

    def end(self, error: Error | None = None) -> Iterator[Event]:
        """The session is over: all of its links are gone."""
        self.unsettled.clear()
        self._waiting.clear()
        while self._links:
            _, link = self._links.popitem()
            link.state = LinkState.DETACHED
            yield Detached(link, error)

    def _on_attach(self, attach: Attach) -> Event:
        if attach.handle > self.limits.handle_max:
            text = f"the handle {attach.handle} is above the session's handle-max, {self.limits.handle_max}"
            raise AmqpError(ErrorCondition.NOT_ALLOWED, text)
        if attach.handle in self._links:
            raise AmqpError(ErrorCondition.HANDLE_IN_USE, f"the handle {attach.handle} has a link already")
        link: Link = OutgoingLink(self, attach) if attach.role else IncomingLink(self, attach)
        self._links[attach.handle] = link
        return Attached(link)

    def _on_detach(self, detach: Detach) -> Iterator[Event]:
        link = self._link(detach.handle)
        del self._links[detach.handle]
        # A disposition that comes after the detach finds nothing.
        for delivery_id in [key for key, delivery in self.unsettled.items() if delivery.link is link]:
            del self.unsettled[delivery_id]
        self._waiting = deque(waiting for waiting in self._waiting if waiting[0].handle != detach.handle)
        link.detached_by_peer(detach)
        yield Detached(link, detach.error)

    def _on_transfer(self, transfer: Transfer, payload: bytes) -> Iterator[Event]:
        self._next_incoming = (self._next_incoming + 1) % SERIAL
        link = self._link(transfer.handle)
        if not isinstance(link, IncomingLink):
            text = f"a transfer on the handle {transfer.handle}, on which the client receives"
            raise AmqpError(ErrorCondition.NOT_ALLOWED, text)
        if link.state is not LinkState.OPEN:
            return  # it was sent before the client knew
        try:
            delivery = link.take(transfer, payload)
        except AmqpError as error:
            link.detach(error)
            return
        if delivery is not None:
            yield MessageReceived(link, delivery)
            link.replenish()

    def _on_flow(self, flow: Flow) -> Iterator[Event]:
        congested = self.congested
        seen = 0 if flow.next_incoming_id is None else flow.next_incoming_id
        window = (seen + flow.incoming_window - self._next_outgoing) % SERIAL
        self._window = window if window < SERIAL // 2 else 0
        waiting, self._waiting = self._waiting, deque()
        for transfer, payload in waiting:
            self._forward(transfer, payload)
        if flow.handle is not None:
            yield from self._on_link_flow(flow, flow.handle)
        elif flow.echo:
            self.send_flow()
        if congested and not self.congested:
            yield WindowOpened(self)

    def _on_link_flow(self, flow: Flow, handle: int) -> Iterator[Event]:
        link = self._link(handle)
        if isinstance(link, IncomingLink):
            if flow.echo and link.state is LinkState.OPEN:
                link.send_flow()
            return
        if not isinstance(link, OutgoingLink):
            return
        link.set_credit(flow.delivery_count, flow.link_credit or 0)
        if link.state is not LinkState.OPEN:
            return  # the credit waits until the link is accepted
        yield CreditChanged(link, flow.drain)
        # The owner has dealt with the event: the answer says what is left.
        if flow.drain:
            link.give_up_credit()
        if flow.drain or flow.echo:
            link.send_flow(drain=flow.drain)

    def _on_disposition(self, disposition: Disposition) -> Iterator[Event]:
        if not disposition.role:
            return  # about what the client sent: it was settled when it arrived
        first, last = disposition.first, disposition.last
        span = 0 if last is None else (last - first) % SERIAL
        if span < len(self.unsettled):
            ids = [(first + offset) % SERIAL for offset in range(span + 1)]
        else:
            ids = [delivery_id for delivery_id in self.unsettled if (delivery_id - first) % SERIAL <= span]
        for delivery_id in ids:
            delivery = self.unsettled.get(delivery_id)
            if delivery is None:
                continue
            if disposition.settled:
                del self.unsettled[delivery_id]
            yield OutcomeReceived(delivery, disposition.state, disposition.settled)

    def _link(self, handle: int) -> Link:
        link = self._links.get(handle)
        if link is None:
            raise AmqpError(ErrorCondition.UNATTACHED_HANDLE, f"the handle {handle} has no link")
        return link
