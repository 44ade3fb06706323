"""A client of Service Bus's dialect, one frame at a time, over a broker whose clock is set by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from cloudq.emulators.service_bus.amqp.decoding import decode
from cloudq.emulators.service_bus.amqp.encoding import encode, encode_described
from cloudq.emulators.service_bus.amqp.performatives import Attach, Flow, Transfer
from cloudq.emulators.service_bus.amqp.sections import Section, map_of, split
from cloudq.emulators.service_bus.amqp.termini import Source, Target
from cloudq.emulators.service_bus.broker.broker import Broker
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.dialect.client import Client
from cloudq.emulators.service_bus.dialect.faults import Faults
from tests.unit.emulators.service_bus.amqp.talk import Heard, Talk

_ROOM = 60_000
START = datetime(2026, 1, 1, tzinfo=UTC)


class HandClock:
    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment


class Stage(Talk):
    """A connection to a broker with the queue `q`.

    Attributes:
        dropped: Whether the connection was to be cut.
    """

    def __init__(self, beside: Stage | None = None, **settings: object) -> None:
        """`beside` is another connection to the same broker."""
        super().__init__()
        self.clock = beside.clock if beside else HandClock()
        self.broker = beside.broker if beside else Broker(self.clock)
        if beside is None:
            self.broker.entities.create_queue("q", QueueSettings(**settings))
        self.faults = Faults()
        self.dropped = False
        self.client = Client(self.connection, self.broker, self.faults, self._drop)
        self.opened()

    def _drop(self) -> None:
        self.dropped = True

    def hear(self, now: timedelta = timedelta()) -> list[Heard]:
        self.client.process()
        return super().hear(now)

    def later(self, seconds: float) -> list[Heard]:
        """Lets time pass. Returns what is heard then."""
        self.clock.moment += timedelta(seconds=seconds)
        self.broker.tick()
        return self.hear()

    def attach_sender(self, address: object = "q", handle: int = 0) -> list[Heard]:
        return self.say(Attach(name="in", handle=handle, role=False, target=Target(address=address)))

    def attach_receiver(self, address: object = "q", handle: int = 1, **fields: object) -> list[Heard]:
        source = fields.pop("source", Source(address=address))
        return self.say(Attach(name="out", handle=handle, role=True, source=source, **fields))

    def give_credit(self, credit: int, *, handle: int = 1, seen: int = 0, window: int = 1000) -> list[Heard]:
        """The client takes so many messages."""
        return self.say(
            Flow(
                next_incoming_id=seen, incoming_window=window, next_outgoing_id=0, outgoing_window=1000, handle=handle,
                delivery_count=seen, link_credit=credit,
            )
        )  # fmt: skip

    def send(self, payload: bytes, *, handle: int = 0, message_format: int = 0) -> list[Heard]:
        transfer = Transfer(handle=handle, delivery_id=0, delivery_tag=b"t", message_format=message_format)
        while len(payload) > _ROOM:
            self.say(msgspec.structs.replace(transfer, more=True), payload=payload[:_ROOM])
            payload = payload[_ROOM:]
        return self.say(transfer, payload=payload)

    def ask(
        self, operation: str, body: object, node: str = "q/$management", **properties: object
    ) -> tuple[dict, object]:
        """Asks a node. Returns the response's properties and body."""
        self.attach_sender(node, handle=100)
        self.attach_receiver(node, handle=101)
        self.give_credit(1, handle=101)
        self.payloads.clear()
        self.send(request(operation, body, **properties), handle=100)
        return answer(self.payloads[-1])


def request(operation: str, body: object, **properties: object) -> bytes:
    return (
        encode_described(Section.PROPERTIES, encode(["request-1"]))
        + encode_described(Section.APPLICATION_PROPERTIES, encode({"operation": operation, **properties}))
        + encode_described(Section.VALUE, encode(body))
    )


def answer(payload: bytes) -> tuple[dict, object]:
    _, properties, value = split(payload)
    return map_of(payload, properties), decode(payload, value.value)[0]


def message(body: bytes = b"body", **properties: object) -> bytes:
    """A message with a body and application properties."""
    return encode_described(Section.APPLICATION_PROPERTIES, encode(dict(properties))) + encode_described(
        Section.DATA, encode(body)
    )
