"""The store conformance kit on Redis, started by the tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis

from cloudq.stores.redis import RedisStore
from cloudq.stores.redis.scripts import NOW
from cloudq.testing.stores import StoreConformance, StoreHarness
from tests.conformance import store_model
from tests.servers import databases

pytestmark = pytest.mark.slow
EXAMPLES = 60


class RedisHarness(StoreHarness):
    """The server's own time, and what the test adds to it: kept on the server, for the scripts to read."""

    unit = timedelta(seconds=10)
    sweeps = False

    def __init__(self, port: int) -> None:
        self.port = port
        self.client = redis.Redis(port=port)
        self.client.flushall()

    def open(self, namespace: str = "kit") -> RedisStore:
        return RedisStore(
            redis.Redis(port=self.port), namespace, now=NOW + "now = now + (redis.call('GET', 'added') or 0)\n"
        )

    def advance(self, delta: timedelta) -> None:
        self.client.incrby("added", delta // timedelta(microseconds=1))

    def close(self) -> None:
        self.client.close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = databases.Redis()
    yield server.port
    server.close()


class TestRedis(StoreConformance):
    """Redis of Debian's package."""

    @pytest.fixture(autouse=True)
    def server(self, port: int) -> None:
        self.port = port

    def harness(self) -> StoreHarness:
        return RedisHarness(self.port)

    def test_every_sequence_of_calls(self) -> None:
        """As the table says, calls and times in any order."""
        store_model.check(self.harness, examples=EXAMPLES)
