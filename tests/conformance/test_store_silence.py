"""Stores whose server hangs: a call ends within its time limit, and says that the store is unavailable."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest

from cloudq.core.store import Claimed, ClaimKey, Store
from cloudq.core.store_url import parse_store_url
from cloudq.errors import StoreUnavailable
from cloudq.stores.opening import migrate_store, open_store
from cloudq.stores.sql.url import engine_of
from tests.servers import databases

pytestmark = pytest.mark.slow
MINUTE = timedelta(minutes=1)
LIMIT = 4.0
KEY = ClaimKey("t", "silence")

Hang = Callable[[], None]


def claim(store: Store) -> object:
    return store.claim(KEY, owner="me", lease=MINUTE, fingerprint=None, keep=MINUTE)


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """As a machine that hangs: its network still acknowledges what is sent."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def check(store: Store, *pids: int) -> None:
    """Works, hangs in bounds, works again: the claim whose answer was lost is given again."""
    first = claim(store)
    assert isinstance(first, Claimed)
    with ThreadPoolExecutor(1) as pool, stopped(*pids):
        try:
            said = pool.submit(claim, store).exception(LIMIT + 3.5)  # less than a second try would take
        except TimeoutError:
            said = None
        assert isinstance(said, StoreUnavailable)
    assert claim(store) == first
    store.close()


def test_postgresql() -> None:
    """The server, and the process of it that has our connection."""
    server = databases.PostgreSQL()
    try:
        migrate_store(server.url)
        store = open_store(f"{server.url}?timeout={LIMIT}", namespace="silence")
        engine = engine_of(parse_store_url(server.url), MINUTE)
        with engine.connect() as connection:
            others = (
                "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
            )
            pids = [row[0] for row in connection.exec_driver_sql(others)]
        engine.dispose()
        assert pids
        check(store, *pids, server.process.pid)
    finally:
        server.close()


def test_mariadb() -> None:
    """One process."""
    server = databases.MariaDB()
    try:
        migrate_store(server.url)
        mark = "&" if "?" in server.url else "?"
        check(open_store(f"{server.url}{mark}timeout={LIMIT}", namespace="silence"), server.process.pid)
    finally:
        server.close()


def test_redis() -> None:
    """One process."""
    server = databases.Redis()
    try:
        check(open_store(f"redis://127.0.0.1:{server.port}?timeout={LIMIT}", namespace="silence"), server.process.pid)
    finally:
        server.close()
