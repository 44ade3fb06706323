"""The administration of a broker on a port, and the SDK's client for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.pipeline.transport import HttpRequest, RequestsTransport
from azure.servicebus.management import ServiceBusAdministrationClient

from cloudq.emulators.service_bus.admin.server import AdministrationServer
from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import Message
from cloudq.emulators.service_bus.broker.broker import Broker
from cloudq.emulators.service_bus.broker.settings import QueueSettings, Tier
from cloudq.testing import FakeClock


class PlainTransport(RequestsTransport):
    """Speaks http where the SDK says https: it knows no other way."""

    def send(self, request: HttpRequest, **options: Any) -> Any:
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, **options)


class Served:
    """A broker whose administration is served by a thread of its own."""

    def __init__(self, tier: Tier = Tier.STANDARD) -> None:
        self.clock = FakeClock()
        self.broker = Broker(self.clock, tier)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = AdministrationServer(self.broker)
        self.port = self._await(self._server.start())

    def _await(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def client(self) -> ServiceBusAdministrationClient:
        return ServiceBusAdministrationClient.from_connection_string(
            f"Endpoint=sb://127.0.0.1:{self.port};SharedAccessKeyName=x;SharedAccessKey=y;UseDevelopmentEmulator=true",
            transport=PlainTransport(),
            retry_total=0,
        )

    def create_queues(self, *names: str) -> None:
        async def create() -> None:
            for name in names:
                self.broker.entities.create_queue(name, QueueSettings())

        self._await(create())

    def clear(self) -> None:
        async def clear() -> None:
            with self.broker.world:
                for queue in self.broker.entities.queues():
                    self.broker.entities.delete_queue(queue.name)
                for topic in self.broker.entities.topics():
                    self.broker.entities.delete_topic(topic.name)

        self._await(clear())

    def send(self, path: str, *messages: Message) -> None:
        async def send() -> None:
            self.broker.send(Address(path), messages)

        self._await(send())

    def stop(self) -> None:
        self._await(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.stop()


@pytest.fixture
def premium() -> Iterator[ServiceBusAdministrationClient]:
    """The client of a Premium namespace."""
    served = Served(Tier.PREMIUM)
    with served.client() as client:
        yield client
    served.stop()


@pytest.fixture
def client(served: Served) -> Iterator[ServiceBusAdministrationClient]:
    with served.client() as client:
        yield client
    served.clear()
