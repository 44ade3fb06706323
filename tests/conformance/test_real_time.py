"""The conformance kit without a fake clock, as a service needs it: the behaviours that depend on time the most."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudq.core.driver import PullDriver
from cloudq.drivers.memory import MemoryDriver
from cloudq.testing.conformance import Bench, Harness
from cloudq.testing.conformance.leases import Leases
from cloudq.testing.profiles import sqs_like


class RealTimeHarness(Harness):
    """A memory driver on the machine's clock."""

    def open(self) -> PullDriver:
        self.driver = MemoryDriver(clock=self.clock, capabilities=sqs_like)
        return self.driver

    def second_client(self) -> PullDriver:
        return self.driver.share()


@pytest.mark.slow
class TestLeasesInRealTime(Leases):
    @pytest.fixture
    def bench(self) -> Iterator[Bench]:
        bench = Bench(RealTimeHarness())
        yield bench
        bench.close()
