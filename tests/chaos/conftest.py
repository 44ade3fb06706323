"""Queues of a test's own on LocalStack, as the integration tests have them, and a proxy before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudq.aws_wire.wires import WireName
from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.lean import LeanClient
from tests.chaos import stands
from tests.chaos.http_proxy import HttpProxy
from tests.integration.sqs import conftest as sqs
from tests.integration.sqs.conftest import REGION, Place

place = sqs.place
queue = sqs.queue
# The fixtures by name: what a test of all backends asks for.
sqlite, service_bus = stands.sqlite, stands.service_bus
sqs_stand = stands.sqs_stand


@pytest.fixture
def proxy(localstack: str) -> Iterator[HttpProxy]:
    """A proxy before LocalStack that passes everything on, until it is told otherwise."""
    with HttpProxy(localstack) as proxy:
        yield proxy


@pytest.fixture(params=["auto", "boto3"])
def wire(request: pytest.FixtureRequest) -> WireName:
    """Who makes the calls that repeat, the driver or the SDK: what is told in between has to hold for both.

    Not for killed and stopped processes, whose calls end in the same way, whoever makes them.
    """
    name: WireName = request.param
    return name


@pytest.fixture
def driver(proxy: HttpProxy, place: Place, queue: str, wire: WireName) -> Iterator[SQSDriver]:
    """A driver behind the proxy, with the queue `default`."""
    driver = SQSDriver(REGION, prefix=place.prefix, endpoint_url=proxy.url, wire=wire)
    assert isinstance(driver._calls.client_for(queue), LeanClient) is (wire == "auto")
    yield driver
    driver.close()
