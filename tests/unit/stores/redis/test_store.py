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

    def __init__(self, answer: Any, told: dict[str, Any] | Exception) -> None:
        self.answer = answer
        self.told = told
        self.keys: list[str] = []

    def register_script(self, script: str) -> Any:
        def run(keys: list[str], args: list[Any]) -> Any:
            self.keys += keys
            return self._say()

        return run

    def info(self) -> Any:
        return self.told if isinstance(self.told, dict) else self._raise(self.told)

    def config_get(self, name: str) -> Any:
        return self._say()

    def _raise(self, error: Exception) -> None:
        raise error

    def close(self) -> None: ...

    def _say(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def store(
    answer: Any, namespace: str = "app", *, told: dict[str, Any] | Exception | None = None
) -> tuple[RedisStore, Answers]:
    client = Answers(answer, {} if told is None else told)
    return RedisStore(client, namespace), client  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.ConnectionError("refused by host:6379"), StoreUnavailable),
        (redis.TimeoutError("timed out"), StoreUnavailable),
        (redis.BusyLoadingError("loading"), StoreUnavailable),
        (redis.AuthenticationError("WRONGPASS hunter2"), StoreRefused),
        (redis.exceptions.NoPermissionError("NOPERM"), StoreRefused),
        (redis.ReadOnlyError("READONLY"), StoreRefused),
        (redis.OutOfMemoryError("OOM"), StoreRefused),
        (redis.ResponseError("MISCONF Redis is configured to save"), StoreRefused),
    ],
)
def test_what_failed_is_said_by_its_kind(error: Exception, kind: type[Exception]) -> None:
    """Without the client's own text, which may hold what was called with."""
    with pytest.raises(kind) as raised:
        store(error)[0].renew(KEY, 1, MINUTE)
    assert str(error) not in str(raised.value)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_a_server_that_may_forget_is_refused(policy: str) -> None:
    """What it evicts would be done again. It says so of itself, or when its settings are asked for."""
    with pytest.raises(ConfigurationError, match=policy):
        store({b"maxmemory-policy": policy.encode()})[0].check()
    with pytest.raises(ConfigurationError, match=policy):
        store({}, told={"maxmemory_policy": policy})[0].check()
    store({"maxmemory-policy": "noeviction"})[0].check()
    store({}, told={"maxmemory_policy": "noeviction"})[0].check()


def test_a_replica_is_refused() -> None:
    """It takes no writes, and is behind."""
    with pytest.raises(StoreRefused, match="replica"):
        store({}, told={"role": "slave", "maxmemory_policy": "noeviction"})[0].check()


def test_a_node_of_a_cluster_is_refused() -> None:
    """The client knows one server, which would send it to others for most of the keys."""
    with pytest.raises(ConfigurationError, match="cluster"):
        store({}, told={"cluster_enabled": 1, "maxmemory_policy": "noeviction"})[0].check()


def test_a_database_that_isn_t_there_is_refused() -> None:
    """It is no server that doesn't say its settings: every call would fail in the same way, for a day."""
    with pytest.raises(ConfigurationError, match="no database of the number"):
        store({}, told=redis.ResponseError("DB index is out of range"))[0].check()


@pytest.mark.parametrize("told", [{}, redis.ResponseError("unknown command INFO")], ids=["little", "nothing"])
def test_settings_that_can_t_be_read_are_warned_of(
    told: dict[str, Any] | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Some hosted servers show none."""
    store(redis.ResponseError("unknown command CONFIG"), told=told)[0].check()
    (said,) = caplog.messages
    assert "maxmemory-policy" in said
    assert "noeviction" in said


def test_a_server_that_can_t_be_reached_is_unavailable() -> None:
    """At the start too, and whatever it is asked for."""
    with pytest.raises(StoreUnavailable):
        store({}, told=redis.ConnectionError("refused"))[0].check()
    with pytest.raises(StoreUnavailable):
        store(redis.ConnectionError("refused"))[0].check()


def test_namespaces_have_keys_of_their_own() -> None:
    """And all of them begin alike, for who may use the server only for some."""
    places = []
    for namespace in ("prod", "staging"):
        kept, client = store(1, namespace)
        kept.renew(KEY, 1, MINUTE)
        places += client.keys
    assert len(set(places)) == 2
    assert all(place.startswith("cloudq:") for place in places)
