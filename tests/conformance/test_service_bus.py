"""The conformance kit on Azure Service Bus, as our emulator has it: through the real SDK, with and without sessions."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import pytest
from azure.servicebus.exceptions import ServiceBusConnectionError

from cloudq.core.driver import Outgoing, PullDriver
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.service_bus.links import Step
from cloudq.drivers.service_bus.parking import LOOK
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.testing.clock import FakeClock
from cloudq.testing.conformance import DriverConformance, Harness, Spoil, Stall
from cloudq.testing.conformance.harness import STUCK
from tests.integration.service_bus import amqp_proxy
from tests.integration.service_bus.amqp_proxy import AmqpProxy, Kind

pytestmark = pytest.mark.slow
DEDUP_WINDOW = timedelta(minutes=10)
CLOCK = FakeClock()


@pytest.fixture(scope="module")
def emulator() -> Iterator[ServiceBusEmulator]:
    """One for all: its queues are each test's own, and so far apart in time nothing is left of the others'."""
    with ServiceBusEmulator(clock=CLOCK) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def proxy(emulator: ServiceBusEmulator) -> Iterator[AmqpProxy]:
    """Before the emulator, so that its answers can be spoilt."""
    with AmqpProxy(emulator.port) as proxy:
        yield proxy


class ServiceBusHarness(Harness):
    """Two queues of their own for each test."""

    pause_cuts_off = True

    def __init__(self, emulator: ServiceBusEmulator, proxy: AmqpProxy, suffix: str = "") -> None:
        super().__init__(clock=CLOCK, queue=f"kit-{uuid.uuid4().hex[:12]}{suffix}")
        self.emulator = emulator
        self.proxy = proxy
        self.drivers: list[ServiceBusDriver] = []
        self.missing_queue = f"missing-{self.queue}"
        # The SDK waits in real time, while locks and delays go by the emulator's clock.
        self.unit = timedelta(seconds=1)
        self.counts_given_back = False
        self.close_ends_leases = bool(suffix)  # a session's lock ends with its link
        self.poll, self.quiet = timedelta(minutes=1), timedelta(milliseconds=400 if suffix else 150)
        settings = QueueSettings(
            lock_duration=self.unit,
            requires_session=bool(suffix),
            requires_duplicate_detection=True,
            duplicate_detection_window=DEDUP_WINDOW,
            max_delivery_count=1000,
        )
        for name in (self.queue, self.other_queue):
            emulator.create_queue(name, settings)

    def open(self) -> PullDriver:
        driver = ServiceBusDriver(
            "127.0.0.1",
            connection_string=self.proxy.connection_string,
            dedup_window=DEDUP_WINDOW,
            admin_endpoint=self.emulator.admin_url,
            clock=self.clock,
            # A busy machine is no silent service: for an answer that comes late, another way would be tried.
            timeout=timedelta(seconds=60),
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
            self._await_renewals()
        self._advance(delta)

    def _await_renewals(self) -> None:
        """Until the locks of what is held are renewed, as far as that is due, however slow this machine is just now."""
        give_up = time.monotonic() + STUCK
        while any(parking._renewable() for parking in (driver._settling._parking for driver in self.drivers)):
            assert time.monotonic() < give_up, "the lock of a message that is held isn't renewed"
            time.sleep(LOOK.total_seconds() / 10)

    def _advance(self, delta: timedelta) -> None:
        super().advance(delta)
        self.emulator.tick()

    def stall(self, driver: PullDriver, stall: Stall) -> bool:
        """Holds up what goes out by the links that are open now."""
        slots = [slot for sessions in driver._sessions.values() for slot in sessions._slots]
        for link in [*driver._links.values(), *(slot._link for slot in slots if slot._link is not None)]:

            def settle_in_flight(
                steps: Sequence[Step], settle: Callable[[Sequence[Step]], list[BaseException | None]] = link.settle
            ) -> list[BaseException | None]:
                if stall.hang():
                    return [ServiceBusConnectionError(message="cut")] * len(steps)
                return settle(steps)

            link.settle = settle_in_flight
        return True

    @contextmanager
    def spoil(self, driver: PullDriver, spoil: Spoil) -> Iterator[None]:
        """Frames that settle something, or have a message, are spoilt; behind each the connection ends."""

        def spoilt(frame: bytes) -> None:
            if amqp_proxy.is_answer(frame):
                raise amqp_proxy.Spoil(Kind.REPLACED, page=spoil.of(frame))

        self.proxy.policy = spoilt
        try:
            yield
        finally:
            self.proxy.policy = None

    def refused_item(self, driver: PullDriver) -> Outgoing:
        key = uuid.uuid4().hex if driver.capabilities(self.queue).ordering else None
        return Outgoing(id=uuid.uuid4().hex, queue=self.queue, body=b"{}", ordering_key=key, fairness_key="tenant")


class TestServiceBus(DriverConformance):
    @pytest.fixture
    def harness(self, emulator: ServiceBusEmulator, proxy: AmqpProxy) -> Harness:
        return ServiceBusHarness(emulator, proxy)


class TestServiceBusSessions(DriverConformance):
    @pytest.fixture
    def harness(self, emulator: ServiceBusEmulator, proxy: AmqpProxy) -> Harness:
        return ServiceBusHarness(emulator, proxy, ".fifo")
