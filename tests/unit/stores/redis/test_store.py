"""The store on Redis, without a server: what it makes of answers and of errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis

from cloudq.core.store import ClaimKey
from cloudq.errors import ConfigurationError, StoreRefused, StoreUnavailable
from cloudq.stores.redis.store import RedisStore

KEY = ClaimKey("billing.charge", "order-1")
MINUTE = timedelta(minutes=1)


class Answers:
    """A client whose server says one thing to every call, and which knows the keys it was called with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.keys: list[str] = []

    def register_script(self, script: str) -> Any:
        def run(keys: list[str], args: list[Any]) -> Any:
            self.keys += keys
            return self._say()

        return run

    def config_get(self, name: str) -> Any:
        return self._say()

    def close(self) -> None: ...

    def _say(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def store(answer: Any, namespace: str = "app") -> tuple[RedisStore, Answers]:
    client = Answers(answer)
    return RedisStore(client, namespace), client  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.ConnectionError("refused by host:6379"), StoreUnavailable),
        (redis.TimeoutError("timed out"), StoreUnavailable),
        (redis.BusyLoadingError("loading"), StoreUnavailable),
        (redis.AuthenticationError("WRONGPASS hunter2"), StoreRefused),
        (redis.exceptions.NoPermissionError("NOPERM"), StoreRefused),
    ],
)
def test_what_failed_is_said_by_its_kind(error: Exception, kind: type[Exception]) -> None:
    """Without the client's own text, which may hold what was called with."""
    with pytest.raises(kind) as raised:
        store(error)[0].renew(KEY, 1, MINUTE)
    assert str(error) not in str(raised.value)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_a_server_that_may_forget_is_refused(policy: str) -> None:
    """What it evicts would be done again."""
    with pytest.raises(ConfigurationError, match=policy):
        store({b"maxmemory-policy": policy.encode()})[0].check()
    store({"maxmemory-policy": "noeviction"})[0].check()


def test_settings_that_can_t_be_read_pass() -> None:
    """Hosted servers show none."""
    store(redis.ResponseError("unknown command CONFIG"))[0].check()


def test_namespaces_have_keys_of_their_own() -> None:
    """And all of them begin alike, for who may use the server only for some."""
    places = []
    for namespace in ("prod", "staging"):
        kept, client = store(1, namespace)
        kept.renew(KEY, 1, MINUTE)
        places += client.keys
    assert len(set(places)) == 2
    assert all(place.startswith("cloudq:") for place in places)
