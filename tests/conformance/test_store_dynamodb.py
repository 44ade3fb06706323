"""The store conformance kit on DynamoDB, as moto has it, one request at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from email.utils import format_datetime
from typing import Final

import pytest

from cloudq.aws_wire.clients import Clients
from cloudq.aws_wire.wires import WireName
from cloudq.core.store import ClaimKey, Completed, InProgress
from cloudq.stores.dynamodb import DynamoStore
from cloudq.stores.dynamodb.client import open_clients
from cloudq.stores.dynamodb.lean import LeanClient
from cloudq.stores.dynamodb.time import LONGEST_CALL, MARGIN
from cloudq.testing.clock import FakeClock
from cloudq.testing.stores import StoreConformance, StoreHarness
from cloudq.testing.stores.bench import StoreBench
from localstack.start import CREDENTIALS
from tests.chaos.http_proxy import Forward, HttpProxy, Request, Response
from tests.conformance import store_model
from tests.moto_server import moto_server

pytestmark = pytest.mark.slow
EXAMPLES = 20
TABLE = "claims"
AUTO: Final = "auto"
SDK: Final = "boto3"


class OneAtATime:
    """The proxy's policy: moto's conditional writes race with one another, so it gets one request after the other.

    And it tells no time but the test's, if any.
    """

    def __init__(self, clock: FakeClock | None) -> None:
        self.clock = clock
        self.lock = asyncio.Lock()
        self.calls: Counter[str] = Counter()

    async def __call__(self, request: Request, forward: Forward) -> Response:
        self.calls[request.action] += 1
        async with self.lock:
            answer = await forward(request)
        if self.clock is None:
            return answer
        return Response(answer.status, answer.body, {"Date": format_datetime(self.clock.now(), usegmt=True)})


class DynamoHarness(StoreHarness):
    """One table, whose answers are dated by a clock of the service's own: those of the machines are all wrong.

    Args:
        proxy: Before moto.
        dated: Whether answers have a date; else the store goes by this machine's clock.
        wire: Who makes the calls.
    """

    sweeps = False
    margin = MARGIN

    def __init__(self, proxy: HttpProxy, *, dated: bool = True, wire: WireName = "auto") -> None:
        self.service = FakeClock()
        self.clocks: list[FakeClock] = []
        self.wrong = timedelta(hours=int(dated))
        proxy.policy = self.policy = OneAtATime(self.service if dated else None)
        self.url = proxy.url
        self.wire = wire
        self.clients = self.made()
        self.clients.get().create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def made(self) -> Clients:
        return open_clients("eu-west-1", self.url, timeout=timedelta(seconds=20), wire=self.wire)

    def open(self, namespace: str = "kit") -> DynamoStore:
        clock = FakeClock()
        clock.advance(self.service.elapsed() - FakeClock().elapsed())
        clock.step(self.wrong * (-1) ** len(self.clocks) * (len(self.clocks) + 1))
        self.clocks.append(clock)
        return DynamoStore(self.made(), TABLE, namespace, clock=clock, timeout=LONGEST_CALL)

    def advance(self, delta: timedelta) -> None:
        for clock in (self.service, *self.clocks):
            clock.advance(delta)

    def step(self, delta: timedelta) -> None:
        for clock in self.clocks:
            clock.step(delta)

    def close(self) -> None:
        self.clients.get().delete_table(TableName=TABLE)
        self.clients.close()


@pytest.fixture(scope="module")
def moto() -> Iterator[HttpProxy]:
    with pytest.MonkeyPatch.context() as patch, moto_server() as url, HttpProxy(url) as proxy:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield proxy


class TestDynamoDB(StoreConformance):
    """DynamoDB's own conditions, by the lean wire, on a machine whose clock is wrong."""

    @pytest.fixture(autouse=True)
    def server(self, moto: HttpProxy) -> None:
        self.proxy = moto

    def harness(self) -> DynamoHarness:
        return DynamoHarness(self.proxy)

    def test_every_sequence_of_calls(self) -> None:
        """As the table says, calls and times in any order."""
        store_model.check(self.harness, examples=EXAMPLES)

    def test_the_calls_are_made_without_the_sdk(self) -> None:
        """As long as nothing foreign is around: else the kit would show nothing of the wire."""
        harness = self.harness()
        with closing(harness.made()) as clients:
            assert isinstance(clients.caller(), LeanClient)
        harness.close()

    def test_a_claim_and_its_completion_are_two_writes(self, bench: StoreBench) -> None:
        """And nothing else, once a process knows the time, for which it reads once."""
        assert isinstance(bench.harness, DynamoHarness)
        for number in range(3):
            key = ClaimKey("t", str(number))
            assert bench.complete(bench.token(key), key)
        assert {name: count for name, count in bench.harness.policy.calls.items() if name != "CreateTable"} == {
            "GetItem": 1,
            "PutItem": 3,
            "UpdateItem": 3,
        }

    @pytest.mark.parametrize("hours", [20, -20], ids=["behind", "ahead"])
    def test_a_process_whose_clock_is_wrong_takes_nothing_over(self, bench: StoreBench, hours: int) -> None:
        """From its first claim on: what is over is the service's to say."""
        assert isinstance(bench.harness, DynamoHarness)
        token = bench.token()
        bench.harness.wrong = timedelta(hours=hours)
        other = bench.open()
        assert isinstance(bench.claim(store=other), InProgress)
        assert bench.complete(token)
        assert isinstance(bench.claim(store=other), Completed)

    def test_both_wires_say_the_same(self) -> None:
        """The SDK's own calls, where something foreign is on its way, find and leave what ours do."""
        said = [
            list(_life(StoreBench(DynamoHarness(self.proxy, dated=dated, wire=wire))))
            for wire, dated in ((AUTO, True), (AUTO, False), (SDK, True), (SDK, False))
        ]
        assert said[0] == said[1] == said[2] == said[3]


def _life(bench: StoreBench) -> Iterator[object]:
    """What the store says of a record's life. Tokens, which are times, aside."""
    key = ClaimKey("t", "\U0001f9fe")
    first = bench.token(key)
    yield bench.claim(key)
    yield bench.store.renew(key, first, 2 * bench.lease), bench.store.renew(key, first + 1, bench.lease)
    yield bench.store.release(key, first), bench.store.release(key, first)
    second = bench.token(key)
    yield bench.store.release(key, first), bench.complete(first, key)
    yield bench.store.forget(key)
    yield bench.complete(second, key, result=bytes(range(256)))
    yield type(found := bench.claim(key)), isinstance(found, Completed) and (found.result, found.fingerprint)
    record = bench.store.show(key)
    yield record and (record.state, record.result, record.fingerprint, record.owner == "")
    yield bench.store.forget(key), bench.store.show(key), bench.store.forget(key)
    bench.close()
