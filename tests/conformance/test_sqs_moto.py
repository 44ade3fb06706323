"""The conformance kit on Amazon SQS, as moto's server has it: what LocalStack, which is frozen, gets wrong shows here.

Where the two and AWS's documentation differ: docs/reference/sqs-stand-ins.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cloudq.drivers.sqs import SQSDriver
from cloudq.testing.conformance import Bench, DriverConformance, Harness
from cloudq.testing.conformance.concurrency import Concurrency
from localstack.start import CREDENTIALS
from tests.chaos.http_proxy import HttpProxy
from tests.conformance.sqs import REGION, SQSHarness
from tests.moto_server import moto_server

pytestmark = pytest.mark.slow

# They wait for a poll's end, 10 s each, as SQS's polls aren't cut. LocalStack's run shows it, whatever the server.
WAIT_FOR_A_POLL = {"test_an_interrupt_ends_a_receive", "test_closing_ends_a_receive"}
# moto 5.2.5 looks at a queue in several threads without a lock: several receivers may be given one key's messages.
AT_THE_SAME_TIME = {name for name in vars(Concurrency) if name.startswith("test_")}


@pytest.fixture(autouse=True)
def of_the_server(request: pytest.FixtureRequest) -> None:
    """Leaves out what says nothing of the server."""
    if request.node.originalname in WAIT_FOR_A_POLL:
        pytest.skip("it waits for a poll's end, whatever the server")
    if request.node.originalname in AT_THE_SAME_TIME:
        pytest.skip("moto's server answers several clients at the same time without a lock")


@pytest.fixture(scope="module")
def proxy() -> Iterator[HttpProxy]:
    """Before moto's server, so that its answers can be spoilt."""
    with pytest.MonkeyPatch.context() as patch, moto_server() as url, HttpProxy(url) as proxy:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield proxy


@pytest.fixture(scope="module")
def client(proxy: HttpProxy) -> Any:
    """One botocore client for all: a client's making is no part of the contract, and slow."""
    driver = SQSDriver(REGION, endpoint_url=proxy.url)
    yield driver.client
    driver.close()


class TestMoto(DriverConformance):
    @pytest.fixture
    def harness(self, proxy: HttpProxy, client: Any) -> Harness:
        return SQSHarness(proxy, client)


class TestMotoFifo(DriverConformance):
    @pytest.fixture
    def harness(self, proxy: HttpProxy, client: Any) -> Harness:
        return SQSHarness(proxy, client, ".fifo")

    @pytest.mark.xfail(strict=True, reason="moto forgets a de-duplication id with its message; AWS keeps it 5 minutes")
    def test_a_key_stays_known_after_its_message_is_done(self, bench: Bench) -> None:
        super().test_a_key_stays_known_after_its_message_is_done(bench)
