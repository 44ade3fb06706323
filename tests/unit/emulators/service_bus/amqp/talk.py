"""A client of the engine, one frame at a time: what it says and what it hears."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from cloudq.emulators.service_bus.amqp.composites import Composite
from cloudq.emulators.service_bus.amqp.engine import ZERO, Connection, Identity
from cloudq.emulators.service_bus.amqp.events import Attached, Event
from cloudq.emulators.service_bus.amqp.frames import AMQP_HEADER, Frame, FrameReader, FrameType, ProtocolHeader
from cloudq.emulators.service_bus.amqp.links import IncomingLink, OutgoingLink
from cloudq.emulators.service_bus.amqp.performatives import PERFORMATIVES, Attach, Begin, Open, read_body
from cloudq.emulators.service_bus.amqp.sasl import SASL
from cloudq.emulators.service_bus.amqp.session import Limits
from cloudq.emulators.service_bus.amqp.termini import Source, Target

IDENTITY = Identity(container_id="server", mechanisms=("ANONYMOUS", "PLAIN"), idle_timeout=timedelta(minutes=4))
LIMITS = Limits()
Heard = ProtocolHeader | Composite | None
"""`None` is an empty frame."""


class Talk:
    """A connection and its client.

    Attributes:
        connection: The engine under test.
        events: All that it told its owner.
        owner: Deals with each event as it comes.
        payloads: What came behind each transfer.
    """

    def __init__(self, limits: Limits = LIMITS, identity: Identity = IDENTITY) -> None:
        self.connection = Connection(identity, limits)
        self.events: list[Event] = []
        self.owner: Callable[[Event], None] = lambda event: None
        self.payloads: list[bytes] = []
        self._reader = FrameReader(1_000_000)

    def feed(self, data: bytes, now: timedelta = ZERO) -> list[Heard]:
        """Says bytes. Returns what is heard."""
        self.connection.feed(data, now)
        return self.hear(now)

    def hear(self, now: timedelta = ZERO) -> list[Heard]:
        """Lets the owner deal with what there is, and returns what the engine says."""
        for event in self.connection.events():
            self.events.append(event)
            self.owner(event)
        self._reader.feed(self.connection.take_output(now))
        heard: list[Heard] = []
        while (part := self._read()) is not None:
            if isinstance(part, ProtocolHeader):
                heard.append(part)
            elif not part.body:
                heard.append(None)
            else:
                body, end = read_body(SASL if part.type is FrameType.SASL else PERFORMATIVES, part.body)
                heard.append(body)
                if body.NAME == "transfer":
                    self.payloads.append(part.body[end:])
        return heard

    def _read(self) -> ProtocolHeader | Frame | None:
        for expects_header in (False, True):
            self._reader.expects_header = expects_header
            try:
                return self._reader.next()
            except Exception:
                if expects_header:
                    raise
        return None

    def say(self, *performatives: Composite, payload: bytes = b"", channel: int = 0) -> list[Heard]:
        """Says frames. Returns what is heard."""
        return self.feed(b"".join(Frame(channel, item.encode() + payload).encode() for item in performatives))

    def opened(self, **fields: object) -> Talk:
        """The connection, opened, with a session on channel 0."""
        self.feed(AMQP_HEADER.encode())
        self.say(Open(container_id="client", **fields))
        self.begin()
        return self

    def begin(self, *, window: int = 1000, channel: int = 0) -> list[Heard]:
        """Begins a session."""
        return self.say(Begin(next_outgoing_id=0, incoming_window=window, outgoing_window=1000), channel=channel)

    def sender(self, handle: int = 0, **fields: object) -> IncomingLink:
        """A link on which the client sends, accepted and with credit for 10 messages."""
        self.say(Attach(name="in", handle=handle, role=False, target=Target(address="q"), **fields))
        link = self._attached()
        assert isinstance(link, IncomingLink)
        link.accept()
        link.grant(10)
        self.hear()
        return link

    def receiver(self, handle: int = 0, **fields: object) -> OutgoingLink:
        """A link on which the client receives, accepted."""
        self.say(Attach(name="out", handle=handle, role=True, source=Source(address="q"), **fields))
        link = self._attached()
        assert isinstance(link, OutgoingLink)
        link.accept()
        self.hear()
        return link

    def _attached(self) -> object:
        event = self.events[-1]
        assert isinstance(event, Attached)
        return event.link
