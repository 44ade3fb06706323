"""The store conformance kit on Redis, started by the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import redis

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.store import Claimed, ClaimKey
from cloudq.core.store_url import parse_store_url
from cloudq.errors import ConfigurationError, StoreRefused
from cloudq.stores.redis import RedisStore
from cloudq.stores.redis.scripts import NOW
from cloudq.stores.redis.url import open_url
from cloudq.testing.stores import StoreConformance, StoreHarness
from tests.conformance import store_model
from tests.servers import databases
from tests.servers.own import free_port

pytestmark = pytest.mark.slow
EXAMPLES = 40
MINUTE = timedelta(minutes=1)


class RedisHarness(StoreHarness):
    """The server's own time, and what the test adds to it: kept on the server, for the scripts to read."""

    unit = timedelta(minutes=1)  # beside which the time that passes by itself is short, also on a busy machine
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


def opened(port: int) -> RedisStore:
    return open_url(parse_store_url(f"redis://127.0.0.1:{port}/0"), "app", timedelta(seconds=30), SYSTEM_CLOCK)


@contextmanager
def server_with(**settings: str) -> Iterator[int]:
    server = databases.Redis(**settings)
    try:
        yield server.port
    finally:
        server.close()


class TestServers:
    """Redis as it may be set up."""

    @pytest.mark.parametrize(
        ("settings", "error", "said"),
        [
            ({"maxmemory_policy": "volatile-lru"}, ConfigurationError, "volatile-lru"),
            ({"replicaof": "127.0.0.1 1"}, StoreRefused, "replica"),
            # By default its nodes speak to each other on a port that is 10,000 higher, which there may not be.
            ({"cluster_enabled": "yes", "cluster_port": "FREE"}, ConfigurationError, "cluster"),
            ({"requirepass": "hunter2"}, StoreRefused, "credentials"),
        ],
        ids=["evicts", "replica", "cluster", "password"],
    )
    def test_what_would_lose_or_refuse_claims_is_not_opened(
        self, settings: dict[str, str], error: type[Exception], said: str
    ) -> None:
        """It is seen at the start, not at the first task."""
        settings = {name: value.replace("FREE", str(free_port())) for name, value in settings.items()}
        with server_with(**settings) as port, pytest.raises(error, match=said):
            opened(port)

    def test_one_that_becomes_full_or_a_replica_says_so(self, port: int) -> None:
        """In words that tell what to do; what was claimed before is not lost."""
        client = redis.Redis(port=port)
        store = opened(port)
        key = ClaimKey("t", "1")
        claimed = store.claim(key, owner="me", lease=MINUTE, fingerprint=None, keep=MINUTE)
        assert isinstance(claimed, Claimed)
        try:
            for name, value, said in (("maxmemory", "1", "full"), ("replicaof", "127.0.0.1 1", "replica")):
                if name == "maxmemory":
                    client.config_set(name, value)
                else:
                    client.replicaof(*value.split())
                with pytest.raises(StoreRefused, match=said):
                    store.renew(key, claimed.token, MINUTE)
                client.config_set("maxmemory", "0")
        finally:
            client.replicaof("NO", "ONE")
            client.config_set("maxmemory", "0")
        assert store.renew(key, claimed.token, MINUTE)
        store.close()
        client.close()
