"""What the broker's tests share: a namespace on a fake clock, and clients that keep what they get."""

from __future__ import annotations

from datetime import timedelta

from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import BrokerError, Message, Received, ReceiveMode
from cloudq.emulators.service_bus.broker.broker import Broker
from cloudq.emulators.service_bus.broker.ends import Receiver, SessionReceiver
from cloudq.emulators.service_bus.broker.settings import QueueSettings, SubscriptionSettings, Tier, TopicSettings
from cloudq.testing import FakeClock

QUEUE = Address("orders")
DEAD = Address.parse("orders/$DeadLetterQueue")
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


class Client:
    """A receiver's sink that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[Received] = []
        self.errors: list[BrokerError] = []
        self.receiver: Receiver | SessionReceiver | None = None

    def deliver(self, received: Received) -> None:
        self.got.append(received)

    def ended(self, error: BrokerError) -> None:
        self.errors.append(error)

    def accepted(self, receiver: SessionReceiver) -> None:
        self.receiver = receiver

    def refused(self, error: BrokerError) -> None:
        self.errors.append(error)

    @property
    def session(self) -> SessionReceiver:
        assert self.receiver is not None, self.errors
        return self.receiver  # type: ignore[return-value]  # whoever asks has accepted one

    def wants(self, credit: int) -> None:
        assert self.receiver is not None, self.errors
        self.receiver.set_credit(credit)

    @property
    def bodies(self) -> list[str]:
        return [received.message.payload.decode() for received in self.got]


class Bench:
    """A broker with a queue `orders`."""

    def __init__(self, settings: QueueSettings | None = None, tier: Tier = Tier.STANDARD) -> None:
        self.clock = FakeClock()
        self.broker = Broker(self.clock, tier)
        self.entities = self.broker.entities
        with self.broker.world:
            self.entities.create_queue("orders", settings or QueueSettings())

    def pass_time(self, delta: timedelta) -> None:
        """Time passes as it does for the server: with a tick at each moment at which something is due."""
        end = self.clock.now() + delta
        for _ in range(10_000):
            due = self.broker.next_due()
            if due is None or due > end:
                break
            self.clock.advance(max(timedelta(0), due - self.clock.now()))
            self.broker.tick()
        else:
            raise AssertionError("a tick leaves due what was due")
        self.clock.advance(end - self.clock.now())
        self.broker.tick()

    def send(self, *bodies: str, to: Address = QUEUE, **properties: object) -> None:
        self.broker.send(to, [message(body, **properties) for body in bodies])

    def client(self, credit: int = 0, at: Address = QUEUE, mode: ReceiveMode = ReceiveMode.PEEK_LOCK) -> Client:
        client = Client()
        client.receiver = self.broker.open_receiver(at, mode, client)
        client.wants(credit)
        return client

    def take(self, at: Address = QUEUE) -> Received:
        """One message, locked, from a receiver that then leaves."""
        (received,) = self.take_all(at, 1)
        return received

    def take_all(self, at: Address = QUEUE, limit: int = 1000) -> list[Received]:
        client = self.client(limit, at)
        assert client.receiver is not None
        client.receiver.close()
        return client.got

    def accept(
        self,
        session_id: str | None = None,
        credit: int = 0,
        timeout: timedelta = MINUTE,
        mode: ReceiveMode = ReceiveMode.PEEK_LOCK,
        at: Address = QUEUE,
    ) -> Client:
        client = Client()
        self.broker.accept_session(at, session_id, mode, client, timeout)
        if credit:
            client.wants(credit)
        return client

    def topic(self, *subscriptions: str, settings: TopicSettings | None = None) -> Address:
        """A topic `news` with subscriptions that get everything."""
        with self.broker.world:
            self.entities.create_topic("news", settings or TopicSettings())
            for name in subscriptions:
                self.entities.create_subscription("news", name, SubscriptionSettings())
        return Address("news")


def message(body: str = "x", **properties: object) -> Message:
    return Message(payload=body.encode(), **properties)  # type: ignore[arg-type]  # by name, for short


def bodies(received: list[Received]) -> list[str]:
    return [each.message.payload.decode() for each in received]
