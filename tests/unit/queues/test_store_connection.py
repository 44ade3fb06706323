"""`StoreConnection`: which store an app has, and the one open store of a process."""

from __future__ import annotations

import os
import threading
from datetime import timedelta

import pytest

from cloudq import App
from cloudq.core.store import Claimed, ClaimKey, InProgress
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError
from cloudq.queues import store_connection as module
from cloudq.queues.store_connection import DEFAULT_NAMESPACE, NATIVE_ONLY, STORE_VARIABLE
from cloudq.stores.memory import MemoryStore
from cloudq.testing import FakeClock, in_memory

SHARED = "redis://localhost/0?prefix=prod"


@pytest.fixture(autouse=True)
def no_store_is_set(monkeypatch):
    """In the environment."""
    monkeypatch.delenv(STORE_VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("given", "variable", "backend", "url"),
    [
        (None, None, "sqs://eu-west-1", None),
        (None, SHARED, "sqs://eu-west-1", SHARED),
        ("memory://", SHARED, "sqs://eu-west-1", "memory://"),
        ("none", SHARED, "sqs://eu-west-1", NATIVE_ONLY),
        (None, "none", "memory://", NATIVE_ONLY),
        (None, None, "memory://", "memory://"),
        (None, None, "sqlite:////srv/my%20shop.db?mode=0660&timeout=9", "sqlite:////srv/my%20shop.db?mode=0660"),
    ],
)
def test_the_apps_own_url_comes_before_that_of_the_environment(monkeypatch, given, variable, backend, url):
    """And that before the one that goes with the backend, where it is no service."""
    if variable is not None:
        monkeypatch.setenv(STORE_VARIABLE, variable)
    stores = App(backend, store=given).runtime.stores
    assert url == stores.url
    assert (url not in {None, NATIVE_ONLY}, url == NATIVE_ONLY) == (stores.in_use, stores.is_native_only)


def test_a_variable_that_is_set_to_nothing_is_a_mistake(monkeypatch):
    """Something should have filled it in."""
    monkeypatch.setenv(STORE_VARIABLE, "")
    with pytest.raises(ConfigurationError, match="set, but to nothing"):
        _ = App("memory://").runtime.store


def test_a_store_that_is_given_as_nothing_is_a_mistake(monkeypatch):
    """As in `App(store=os.environ.get("STORE", ""))`: keys would silently be claimed elsewhere than was meant."""
    monkeypatch.setenv(STORE_VARIABLE, SHARED)
    with pytest.raises(ConfigurationError, match="the app's store is set, but to nothing"):
        App("memory://", store="")


def test_a_store_that_is_no_text_is_refused():
    """As other settings are."""
    with pytest.raises(ConfigurationError, match="store is a text, not a MemoryStore"):
        App(store=MemoryStore())


def test_an_app_opens_one_store_for_all_threads(monkeypatch):
    """At its first use, not before."""
    opened, barrier = [], threading.Barrier(4)

    def slow(url, **options):
        opened.append(url)
        return MemoryStore()

    monkeypatch.setattr(module, "open_store", slow)
    app = App("sqs://eu-west-1", store=SHARED)
    assert [] == opened
    stores = []

    def use():
        barrier.wait()
        stores.append(app.runtime.store)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ([SHARED], 1) == (opened, len(set(map(id, stores))))


def test_a_closed_app_opens_its_store_again(monkeypatch):
    """And has closed the one before."""
    closed = []

    class Closing(MemoryStore):
        def close(self):
            closed.append(self)

    monkeypatch.setattr(module, "open_store", lambda url, **options: Closing())
    app = App("memory://", store=SHARED)
    first = app.runtime.store
    app.close()
    assert [first] == closed
    assert first is not app.runtime.store


@pytest.mark.parametrize(
    ("backend", "store", "namespace"),
    [
        ("sqs://eu-west-1?prefix=prod-", "redis://localhost", "prod-"),
        ("sqs://eu-west-1?prefix=prod-", SHARED, "prod"),
        ("sqs://eu-west-1", "redis://localhost", DEFAULT_NAMESPACE),
        ("memory://", None, DEFAULT_NAMESPACE),
    ],
)
def test_two_environments_in_one_store_are_told_apart(monkeypatch, backend, store, namespace):
    """By the store's own prefix, else by that of the backend."""
    asked = []
    monkeypatch.setattr(module, "open_store", lambda url, *, namespace, clock: asked.append(namespace) or MemoryStore())
    stores = App(backend, store=store).runtime.stores
    assert namespace == stores.namespace
    assert stores.store is not None
    assert asked[0] == (namespace if store != SHARED else "prod-"), "the store's URL has the last word"


def test_a_store_can_be_lent():
    """With a driver, within a block; a lent driver alone has no store of another backend's beside it."""
    app, store = App("memory://"), MemoryStore()
    with app.using(MemoryDriver(), store=store):
        assert store is app.runtime.store
        assert app.runtime.stores.in_use
    with app.using(MemoryDriver()):
        assert app.runtime.store is None
    assert app.runtime.store is not store


def test_beside_the_embedded_backend_is_a_store_in_the_same_file(tmp_path):
    """With tables of its own: nothing has to be set, and a worker's restart forgets nothing."""
    url = f"sqlite:///{tmp_path}/shop.db"
    for expected in (Claimed, InProgress):
        app = App(url)
        claim = app.runtime.store.claim(
            ClaimKey("t", "k"), owner=str(expected), lease=timedelta(hours=1), fingerprint=None, keep=timedelta(days=1)
        )
        assert isinstance(claim, expected)
        app.send("t")
        app.close()


def test_an_app_in_memory_has_a_store_on_its_clock():
    """Unless it wants none."""
    clock = FakeClock()
    with in_memory(App("sqs://eu-west-1"), clock=clock) as app:
        assert isinstance(app.runtime.store, MemoryStore)
    with in_memory(App("sqs://eu-west-1", store="none"), clock=clock) as app:
        assert app.runtime.store is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_opens_a_store_of_its_own():
    """What was lent is its parent's."""
    app, lent = App("memory://"), App("memory://")
    before = app.runtime.store

    def in_child():
        assert app.runtime.store is not before
        assert app.runtime.store.show(ClaimKey("t", "k")) is None
        with pytest.raises(ConfigurationError, match="before this process was forked"):
            _ = lent.runtime.store

    with lent.using(MemoryDriver(), store=MemoryStore()):
        child = os.fork()
        if child == 0:
            try:
                in_child()
                os._exit(0)
            except BaseException:
                os._exit(1)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
