"""The conformance kit on the memory driver: in its own form, and with the capabilities of four other services."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from cloudq.core.driver import Capabilities, Outgoing, PullDriver
from cloudq.drivers.memory import MemoryDriver
from cloudq.testing.clock import FakeClock
from cloudq.testing.conformance import DriverConformance, Harness
from cloudq.testing.profiles import cloud_tasks_like, service_bus_like, sqs_fifo_like, sqs_like


class MemoryHarness(Harness):
    """A memory driver on a fake clock."""

    driver: MemoryDriver
    sets_the_clock = True

    def __init__(
        self,
        *,
        queue: str = "conformance",
        profile: Callable[[str], Capabilities] | None = None,
        fixed_queues: bool = False,
    ) -> None:
        super().__init__(clock=FakeClock(), queue=queue)
        self.profile = profile
        self.fixed_queues = fixed_queues
        if fixed_queues:
            self.missing_queue = f"missing-{queue}"

    def open(self) -> PullDriver:
        queues = [self.queue, self.other_queue] if self.fixed_queues else None
        self.driver = MemoryDriver(clock=self.clock, capabilities=self.profile, queues=queues)
        return self.driver

    def second_client(self) -> PullDriver:
        return self.driver.share()

    def refused_item(self, driver: PullDriver) -> Outgoing:
        if self.profile is not service_bus_like:
            return super().refused_item(driver)
        # Neither a delay nor a size that a call may hold is refused there; fairness is.
        key = "only" if driver.capabilities(self.queue).ordering else None
        return Outgoing(id=uuid4().hex, queue=self.queue, body=b"{}", ordering_key=key, fairness_key="tenant")


class TestMemory(DriverConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness()


class TestMemoryOrdered(DriverConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(queue="conformance.fifo")


class TestMemoryWithFixedQueues(DriverConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(fixed_queues=True)


class TestLikeSqs(DriverConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(profile=sqs_like, fixed_queues=True)


class TestLikeSqsFifo(DriverConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(profile=sqs_fifo_like, queue="conformance.fifo", fixed_queues=True)


class TestLikeCloudTasks(DriverConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(profile=cloud_tasks_like, fixed_queues=True)


class TestLikeServiceBus(DriverConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(profile=service_bus_like, fixed_queues=True)


class TestLikeServiceBusSessions(DriverConformance):
    @pytest.fixture
    def harness(self) -> Harness:
        return MemoryHarness(profile=service_bus_like, queue="conformance.fifo", fixed_queues=True)
