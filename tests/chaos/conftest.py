"""Queues of a test's own on LocalStack, as the integration tests have them, and a proxy before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudq.drivers.sqs import SQSDriver
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


@pytest.fixture
def driver(proxy: HttpProxy, place: Place, queue: str) -> Iterator[SQSDriver]:
    """A driver behind the proxy, with the queue `default`."""
    driver = SQSDriver(REGION, prefix=place.prefix, endpoint_url=proxy.url)
    yield driver
    driver.close()
