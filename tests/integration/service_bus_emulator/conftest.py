"""One emulator a module; each test has queues of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from azure.servicebus import ServiceBusClient, _servicebus_receiver, _servicebus_sender
from azure.servicebus._pyamqp.aio._client_async import AMQPClientAsync
from azure.servicebus._pyamqp.client import AMQPClient

from cloudq.emulators.service_bus.broker.rules import FalseFilter, NewRule
from cloudq.emulators.service_bus.broker.settings import QueueSettings, SubscriptionSettings, TopicSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator

_NUMBERS = count(1)


@pytest.fixture(scope="module")
def emulator() -> Iterator[ServiceBusEmulator]:
    with ServiceBusEmulator(admin_port=None) as server:
        yield server


@pytest.fixture(autouse=True)
def no_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    """Faults that a test ordered don't outlive it."""
    yield
    if "emulator" in request.fixturenames:
        request.getfixturevalue("emulator").faults.clear()


class Hurry:
    """The module `time`, but for its sleep."""

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(min(seconds, 0.002))

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


@pytest.fixture(autouse=True)
def hurried_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK looks nine times whether a link is open, 50 ms apart, and a close waits up to a second for a thread."""
    monkeypatch.setattr(_servicebus_receiver, "time", Hurry())
    monkeypatch.setattr(_servicebus_sender, "time", Hurry())
    monkeypatch.setattr(AMQPClient, "_keep_alive", lambda self: None)

    async def keep_nothing_alive(self: AMQPClientAsync) -> None:
        """Ends at once."""

    monkeypatch.setattr(AMQPClientAsync, "_keep_alive_async", keep_nothing_alive)


@pytest.fixture
def make_queue(emulator: ServiceBusEmulator) -> Callable[..., str]:
    """Makes a queue with a name of its own."""

    def make(**settings: object) -> str:
        name = f"queue-{next(_NUMBERS)}"
        emulator.call(emulator.broker.entities.create_queue, name, QueueSettings(**settings))
        return name

    return make


@pytest.fixture
def queue(make_queue: Callable[..., str]) -> str:
    return make_queue()


@pytest.fixture
def client(emulator: ServiceBusEmulator) -> Iterator[ServiceBusClient]:
    """The SDK's client. It tries nothing twice, so that what the emulator answers is what is seen."""
    with ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0) as client:
        yield client


@pytest.fixture
def topic(emulator: ServiceBusEmulator) -> str:
    """A topic with the subscriptions `all` and `none`."""
    entities = emulator.broker.entities
    name = f"topic-{next(_NUMBERS)}"
    emulator.call(entities.create_topic, name, TopicSettings())
    emulator.call(entities.create_subscription, name, "all", SubscriptionSettings())
    emulator.call(entities.create_subscription, name, "none", SubscriptionSettings(), NewRule("none", FalseFilter()))
    return name


@pytest.fixture(scope="module")
def make_entities(emulator: ServiceBusEmulator) -> Callable[[], tuple[str, str, str]]:
    """Makes a queue, one with sessions, and a topic with the subscription `all`. Returns their names."""

    def make() -> tuple[str, str, str]:
        number = next(_NUMBERS)
        emulator.create_queue(f"queue-{number}")
        emulator.create_queue(f"sessions-{number}", QueueSettings(requires_session=True))
        emulator.create_topic(f"topic-{number}")
        emulator.create_subscription(f"topic-{number}", "all")
        return f"queue-{number}", f"sessions-{number}", f"topic-{number}"

    return make
