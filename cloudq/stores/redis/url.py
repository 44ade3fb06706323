"""`open_url`: what a `redis://` or `rediss://` says, and the store it opens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cloudq.core.clock import Clock
from cloudq.core.store_url import StoreUrl
from cloudq.errors import ConfigurationError
from cloudq.stores.redis.store import RedisStore

PORT: Final = 6379
# Those of redis-py that name a file or say how a certificate is looked at.
_TLS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")


def open_url(url: StoreUrl, namespace: str, timeout: timedelta, clock: Clock) -> RedisStore:
    """The store on the server that the URL names; `clock` isn't asked, since the server has the time.

    Raises:
        ConfigurationError: The URL can't be used, or the server may forget what was done.
        StoreUnavailable: The server can't be reached.
    """
    del clock
    store = RedisStore(client_of(url, timeout), namespace)
    try:
        store.check()
    except BaseException:
        store.close()
        raise
    return store


def client_of(url: StoreUrl, timeout: timedelta) -> redis.Redis:
    """A client of redis-py, which connects at its first call.

    Raises:
        ConfigurationError: The URL can't be used.
    """
    secure = url.scheme == "rediss"
    tls = url.options(*_TLS) if secure else url.options()
    parts = urlsplit(f"//{url.host}")
    if not parts.hostname:
        raise ConfigurationError(f"{url.scheme}:// names no host", hint=f"{url.scheme}://localhost:{PORT}/0")
    if not (url.path or "0").isdecimal():
        raise ConfigurationError(
            f"the path of {url.scheme}:// is not the number of a database", hint=f"{url.scheme}://localhost:{PORT}/0"
        )
    # Connecting and answering; the other one is used up seldom.
    seconds = timeout.total_seconds() / 2
    options: dict[str, Any] = {"ssl": True, **tls} if secure else {}
    return redis.Redis(
        host=parts.hostname,
        port=parts.port or PORT,
        db=int(url.path or "0"),
        username=url.user,
        password=url.password,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        socket_keepalive=True,
        # A connection that the server closed while it was idle. What takes long isn't tried again: the time is up.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        **options,
    )
