"""`RedisStore`: the store contract on Redis or Valkey. All times are the server's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import redis
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from cloudq.core.clock import from_micros
from cloudq.core.safe_log import SafeLogger
from cloudq.core.store import (
    Claim,
    Claimed,
    ClaimKey,
    Completed,
    Forgotten,
    InProgress,
    Record,
    RecordState,
)
from cloudq.errors import ConfigurationError, StoreRefused, StoreUnavailable
from cloudq.stores.redis import scripts
from cloudq.stores.redis.notes import RedisNotes

logger = SafeLogger("cloudq")

_MICROSECOND: Final = timedelta(microseconds=1)
_KEEPS_ALL: Final = "noeviction"


class RedisStore:
    """Records as hashes, each call one script.

    Args:
        client: A client whose answers are bytes.
        namespace: Keeps the keys of apps apart that share a server.
        now: How the scripts learn the time.
    """

    def __init__(self, client: redis.Redis, namespace: str, *, now: str = scripts.NOW) -> None:
        self._client = client
        self._namespace = namespace
        self._scripts = {
            name: client.register_script(scripts.whole(script, now))
            for name, script in {
                "claim": scripts.CLAIM,
                "renew": scripts.RENEW,
                "complete": scripts.COMPLETE,
                "release": scripts.RELEASE,
                "forget": scripts.FORGET,
                "show": scripts.SHOW,
            }.items()
        }
        self.notes = RedisNotes(client, namespace, now=now, translated=_translated)

    def check(self) -> None:
        """Refuses a server that may lose records, or that takes none.

        A server that removes records when its memory is full would have their work done again. Where it doesn't let
        that be asked, as some hosted ones don't, it is warned of.

        Raises:
            ConfigurationError: Its `maxmemory-policy` isn't `noeviction`, it is one of several nodes of a cluster, or
                it has no database of that number.
            StoreRefused: It is a replica, or refuses these credentials.
            StoreUnavailable: It can't be reached.
        """
        told = self._info()
        if told.get("role") == "slave":
            raise StoreRefused(
                "the store's Redis server is a replica", hint="name the primary: claims and renewals are writes"
            )
        if told.get("cluster_enabled"):
            raise ConfigurationError(
                "the store's Redis server is a node of a cluster, which keeps only some of the keys",
                hint="name a server that keeps all of them, or a proxy before the cluster",
            )
        policy = told.get("maxmemory_policy") or self._policy()
        if policy is None:
            logger.warning(
                "the store's Redis server doesn't say its maxmemory-policy: see to it that it is %s, or records of "
                "what was done may go before their time",
                _KEEPS_ALL,
            )
        elif policy != _KEEPS_ALL:
            raise ConfigurationError(
                f"the Redis server's maxmemory-policy is {policy}: it may forget what was done",
                hint=f"set it to {_KEEPS_ALL}, or use a server of its own for the store",
            )

    def claim(
        self, key: ClaimKey, *, owner: str, lease: timedelta, fingerprint: bytes | None, keep: timedelta
    ) -> Claim:
        """Takes the key, unless somebody has it or its work is done."""
        said, *rest = self._run("claim", key, owner, lease // _MICROSECOND, keep // _MICROSECOND, fingerprint or b"")
        if said == b"claimed":
            return Claimed(int(rest[0]))
        if said == b"completed":
            return Completed(from_micros(int(rest[0])), rest[1], rest[2])
        return InProgress(int(rest[0]) * _MICROSECOND, rest[1])

    def renew(self, key: ClaimKey, token: int, lease: timedelta) -> bool:
        """Has the claim last for `lease` from now."""
        return bool(self._run("renew", key, token, lease // _MICROSECOND))

    def complete(self, key: ClaimKey, token: int, *, result: bytes | None, keep: timedelta) -> bool:
        """Records that the work is done."""
        return bool(self._run("complete", key, token, keep // _MICROSECOND, int(result is not None), result or b""))

    def release(self, key: ClaimKey, token: int) -> bool:
        """Gives the claim back."""
        return bool(self._run("release", key, token))

    def show(self, key: ClaimKey) -> Record | None:
        """What is there, or `None`."""
        told = self._run("show", key)
        if told is None:
            return None
        now, token, owner, until, completed, kept, fingerprint, result = told
        if completed is not None:
            state = RecordState.COMPLETED
        elif until is None:
            state = RecordState.RELEASED
        else:
            state = RecordState.IN_PROGRESS if int(now) < int(until) else RecordState.LAPSED
        return Record(
            state=state,
            token=int(token),
            owner=_text(owner),
            until=None if until is None else from_micros(int(until)),
            at=None if completed is None else from_micros(int(completed)),
            keep_until=from_micros(int(kept)),
            fingerprint=fingerprint,
            result=result,
        )

    def forget(self, key: ClaimKey, *, force: bool = False) -> Forgotten:
        """Removes the record; that of a claim that holds only with `force`."""
        return _FORGOTTEN[self._run("forget", key, int(force))]

    def sweep(self, limit: int) -> int:
        """Nothing to do: the server's TTL removes them."""
        del limit
        return 0

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _info(self) -> dict[str, Any]:
        """What the server says of itself; nothing where it may not be asked."""
        try:
            told: dict[str, Any] = self._client.info()
        except (NoPermissionError, ResponseError) as error:
            if "DB index" in str(error):  # said to the connection's first call, whatever that asks for
                raise ConfigurationError(
                    "the store's Redis server has no database of the number in the URL",
                    hint="redis://host/0: the server's setting 'databases' says how many there are",
                ) from error
            return {}
        except RedisError as error:
            raise _translated(error) from error
        return told

    def _policy(self) -> str | None:
        try:
            told = self._client.config_get("maxmemory-policy")
        except ResponseError:
            return None
        except RedisError as error:
            raise _translated(error) from error
        return {_text(name): _text(value) for name, value in told.items()}.get("maxmemory-policy")

    def _run(self, name: str, key: ClaimKey, *arguments: bytes | str | int) -> Any:
        place = f"cloudq:{self._namespace}:{key.digest(self._namespace).hex()}"
        try:
            return self._scripts[name](keys=[place], args=list(arguments))
        except RedisError as error:
            raise _translated(error) from error


_FORGOTTEN: Final = {1: Forgotten.REMOVED, 0: Forgotten.NOTHING_THERE, -1: Forgotten.STILL_RUNNING}


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def _translated(error: RedisError) -> StoreUnavailable | StoreRefused:
    if isinstance(error, (AuthenticationError, NoPermissionError)):
        return StoreRefused("the Redis server of the store refuses these credentials, or this command")
    if isinstance(error, ReadOnlyError):
        return StoreRefused("the Redis server of the store is a replica now", hint="name the primary")
    if isinstance(error, OutOfMemoryError) or str(error).startswith("MISCONF"):
        return StoreRefused(
            "the Redis server of the store takes no more: its memory, or its disk, is full",
            hint="raise maxmemory, free the disk, or use a server of its own for the store",
        )
    return StoreUnavailable(f"the store's Redis server failed: {type(error).__name__}")
