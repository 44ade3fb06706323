"""The conformance kit on Azure Service Bus, as our emulator has it: through the real SDK, with and without sessions."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from cloudq.core.driver import Outgoing, PullDriver
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.service_bus.parking import LOOK
from cloudq.emulators.service_bus.broker.broker import Broker
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.server.listener import Listener
from cloudq.testing.clock import FakeClock
from cloudq.testing.conformance import DriverConformance, Harness

pytestmark = pytest.mark.slow
DEDUP_WINDOW = timedelta(minutes=10)


class Emulator:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.broker = Broker(self.clock)
        self.loop = asyncio.new_event_loop()
        self.listener = Listener(self.broker, self.clock)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self.listener.start(), self.loop).result(10)

    def call(self, function: Callable[[], object]) -> object:
        async def run() -> object:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    @property
    def connection_string(self) -> str:
        return (
            f"Endpoint=sb://127.0.0.1:{self.port};SharedAccessKeyName=x;SharedAccessKey=y;UseDevelopmentEmulator=true"
        )

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.listener.close(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    emulator = Emulator()
    yield emulator
    emulator.stop()


class ServiceBusHarness(Harness):
    """Two queues of their own for each test."""

    def __init__(self, emulator: Emulator, suffix: str = "") -> None:
        super().__init__(clock=emulator.clock, queue=f"kit-{uuid.uuid4().hex[:12]}{suffix}")
        self.emulator = emulator
        self.drivers: list[ServiceBusDriver] = []
        self.missing_queue = f"missing-{self.queue}"
        # The SDK waits in real time, while locks and delays go by the emulator's clock.
        self.unit = timedelta(seconds=1)
        self.counts_given_back = False
        self.close_ends_leases = bool(suffix)  # a session's lock ends with its link
        self.poll, self.quiet = timedelta(seconds=5), timedelta(milliseconds=400 if suffix else 150)
        settings = QueueSettings(
            lock_duration=self.unit,
            requires_session=bool(suffix),
            requires_duplicate_detection=True,
            duplicate_detection_window=DEDUP_WINDOW,
            max_delivery_count=1000,
        )
        for name in (self.queue, self.other_queue):
            emulator.call(lambda name=name: emulator.broker.entities.create_queue(name, settings))

    def open(self) -> PullDriver:
        driver = ServiceBusDriver(
            "127.0.0.1",
            connection_string=self.emulator.connection_string,
            dedup_window=DEDUP_WINDOW,
            clock=self.clock,
        )
        self.drivers.append(driver)
        return driver

    def second_client(self) -> PullDriver:
        return self.open()

    def advance(self, delta: timedelta) -> None:
        # What is held for a retry has its lock renewed meanwhile, if time doesn't leap.
        while delta > self.unit / 4 and any(driver.held for driver in self.drivers):
            self._advance(self.unit / 4)
            delta -= self.unit / 4
            time.sleep(2 * LOOK.total_seconds())
        self._advance(delta)

    def _advance(self, delta: timedelta) -> None:
        super().advance(delta)
        self.emulator.call(self.emulator.broker.tick)

    def refused_item(self, driver: PullDriver) -> Outgoing:
        key = uuid.uuid4().hex if driver.capabilities(self.queue).ordering else None
        return Outgoing(id=uuid.uuid4().hex, queue=self.queue, body=b"{}", ordering_key=key, fairness_key="tenant")


class TestServiceBus(DriverConformance):
    @pytest.fixture
    def harness(self, emulator: Emulator) -> Harness:
        return ServiceBusHarness(emulator)


class TestServiceBusSessions(DriverConformance):
    @pytest.fixture
    def harness(self, emulator: Emulator) -> Harness:
        return ServiceBusHarness(emulator, ".fifo")
