"""One emulator for all tests; each has queues of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from azure.servicebus import ServiceBusClient

from cloudq.emulators.service_bus.broker.settings import QueueSettings
from tests.integration.service_bus_emulator.running import Running, running

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def emulator() -> Iterator[Running]:
    with running() as server:
        yield server


@pytest.fixture(autouse=True)
def no_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    """Faults that a test ordered don't outlive it."""
    yield
    if "emulator" in request.fixturenames:
        request.getfixturevalue("emulator").listener.faults.clear()


@pytest.fixture
def make_queue(emulator: Running) -> Callable[..., str]:
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
def client(emulator: Running) -> Iterator[ServiceBusClient]:
    """The SDK's client. It tries nothing twice, so that what the emulator answers is what is seen."""
    with ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0) as client:
        yield client
