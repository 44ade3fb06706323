"""The conformance kit on Amazon SQS, as LocalStack has it: standard and FIFO queues, over both wires, in real time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cloudq.drivers.sqs import SQSDriver
from cloudq.testing.conformance import DriverConformance, Harness
from tests.chaos.http_proxy import HttpProxy
from tests.conformance.sqs import REGION, SQSHarness

# Only the test itself is timed: the first one's fixtures may have to install LocalStack.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]


@pytest.fixture(scope="module")
def proxy(localstack: str) -> Iterator[HttpProxy]:
    """Before LocalStack, so that its answers can be spoilt."""
    with HttpProxy(localstack) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def client(proxy: HttpProxy) -> Any:
    """One botocore client for all."""
    driver = SQSDriver(REGION, endpoint_url=proxy.url)
    yield driver.client
    driver.close()


class TestSQS(DriverConformance):
    @pytest.fixture
    def harness(self, proxy: HttpProxy, client: Any) -> Harness:
        return SQSHarness(proxy, client)


class TestSQSFifo(DriverConformance):
    @pytest.fixture
    def harness(self, proxy: HttpProxy, client: Any) -> Harness:
        return SQSHarness(proxy, client, ".fifo")


class TestSQSByBoto3(DriverConformance):
    @pytest.fixture
    def harness(self, proxy: HttpProxy, client: Any) -> Harness:
        return SQSHarness(proxy, client, wire="boto3")


class TestSQSFifoByBoto3(DriverConformance):
    @pytest.fixture
    def harness(self, proxy: HttpProxy, client: Any) -> Harness:
        return SQSHarness(proxy, client, ".fifo", wire="boto3")
