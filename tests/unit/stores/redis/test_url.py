"""What a `redis://` or `rediss://` says."""

from __future__ import annotations

import socket
import time
from datetime import timedelta

import pytest
import redis

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.store_url import parse_store_url
from cloudq.errors import StoreUnavailable
from cloudq.stores.redis.url import PORT, client_of, open_url

FIVE = timedelta(seconds=5)


def settings(url: str) -> dict[str, object]:
    client = client_of(parse_store_url(url), FIVE)
    kept = dict(client.connection_pool.connection_kwargs)
    client.close()
    return kept


def test_the_parts_of_a_url() -> None:
    """Host, port, database, and who calls."""
    got = settings("redis://app:p%40w@cache.example:6380/3")
    assert [got[name] for name in ("host", "port", "db", "username", "password")] == [
        *("cache.example", 6380, 3, "app", "p@w"),
    ]


def test_what_is_left_out() -> None:
    """The server's usual port, its first database, nobody."""
    got = settings("redis://[::1]")
    assert [got[name] for name in ("host", "port", "db", "username", "password")] == ["::1", PORT, 0, None, None]


def test_tls() -> None:
    """By the scheme."""
    client = client_of(parse_store_url("rediss://cache?ssl_ca_certs=/etc/ca.pem"), FIVE)
    assert client.connection_pool.connection_class is redis.SSLConnection
    assert client.connection_pool.connection_kwargs["ssl_ca_certs"] == "/etc/ca.pem"
    client.close()


def test_a_server_that_is_silent_is_given_up_in_time() -> None:
    """It takes the connection, and says nothing: within the time limit, at open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = parse_store_url(f"redis://127.0.0.1:{server.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            open_url(url, "app", timedelta(seconds=0.4), SYSTEM_CLOCK)
        assert time.monotonic() - began < 60


def test_nobody_listens() -> None:
    """Refused at open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(StoreUnavailable):
        open_url(parse_store_url(f"redis://127.0.0.1:{port}"), "app", FIVE, SYSTEM_CLOCK)
