"""`cloudq idempotency`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudq.core.store import Claimed, ClaimKey, Store
from cloudq.stores.opening import open_store

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
TASK = ("--task", "shop.welcome")


@pytest.fixture
def store(shop) -> Iterator[Store]:
    """Beside the backend, as the shop's worker opens it."""
    store = open_store(shop.url, namespace="cloudq")
    yield store
    store.close()


def claim(store: Store, key: str = "welcome-42", task: str = "shop.welcome") -> int:
    said = store.claim(ClaimKey(task, key), owner="host:1:a", lease=MINUTE, fingerprint=b"f" * 32, keep=DAY)
    assert isinstance(said, Claimed)
    return said.token


def test_show_a_claim(cli, shop, store):
    """Whose it is, and until when."""
    token = claim(store)
    result = cli("idempotency", "show", "welcome-42", *TASK)
    assert (0, "") == (result.code, result.err)
    shown = dict(line.split(":", 1) for line in result.out.splitlines())
    assert {name: value.strip() for name, value in shown.items()}.items() >= {
        "task": "shop.welcome",
        "key": "welcome-42",
        "namespace": "cloudq",
        "store": shop.url,
        "state": "in progress",
        "owner": "host:1:a",
        "token": str(token),
        "fingerprint": (b"f" * 32).hex(),
    }.items()


def test_show_as_json(cli, shop, store):
    """What is done, with what was kept of its result."""
    assert store.complete(ClaimKey("shop.welcome", "welcome-42"), claim(store), result=b"\x00r", keep=DAY)
    result = cli("idempotency", "show", "welcome-42", *TASK, "--json")
    shown = json.loads(result.out)
    assert 0 == result.code
    assert ("completed", "AHI=") == (shown["state"], shown["result_base64"])
    assert shown["completed_at"] < shown["kept_until"]
    assert "until" not in shown


def test_show_nothing(cli, shop, store):
    """Exit code 1; as JSON, too."""
    result = cli("idempotency", "show", "welcome-42", *TASK)
    assert (1, "") == (result.code, result.out)
    assert "nothing is kept of key 'welcome-42' of task 'shop.welcome'" in result.err
    result = cli("idempotency", "show", "welcome-42", *TASK, "--json")
    assert 1 == result.code
    assert json.loads(result.out)["state"] is None


def test_the_namespace_is_that_of_the_url(cli, shop, store):
    """Production's key isn't staging's."""
    claim(store)
    result = cli("idempotency", "show", "welcome-42", *TASK, "--store", f"{shop.url}?prefix=staging")
    assert 1 == result.code
    assert "namespace 'staging'" in result.err


def test_forget_what_is_done(cli, shop, store):
    """The key can run again."""
    assert store.complete(ClaimKey("shop.welcome", "welcome-42"), claim(store), result=None, keep=DAY)
    result = cli("idempotency", "forget", "welcome-42", *TASK, "--yes")
    assert (0, "forgot key 'welcome-42' of task 'shop.welcome'\n", "") == result
    assert store.show(ClaimKey("shop.welcome", "welcome-42")) is None


def test_forget_asks(cli, shop, store):
    """Off a terminal it needs --yes, and does nothing without."""
    claim(store)
    result = cli("idempotency", "forget", "welcome-42", *TASK)
    assert (2, "") == (result.code, result.out)
    assert "--yes" in result.err
    assert store.show(ClaimKey("shop.welcome", "welcome-42")) is not None


def test_a_claim_that_holds_is_forgotten_by_force_only(cli, shop, store):
    """Its owner may be at work."""
    claim(store)
    result = cli("idempotency", "forget", "welcome-42", *TASK, "--yes")
    assert (1, "") == (result.code, result.out)
    assert "is being worked on" in result.err
    assert "--force" in result.err
    assert 0 == cli("idempotency", "forget", "welcome-42", *TASK, "--yes", "--force").code
    assert store.show(ClaimKey("shop.welcome", "welcome-42")) is None


def test_forget_nothing(cli, shop, store):
    """Exit code 1."""
    for _ in range(2):
        result = cli("idempotency", "forget", "welcome-42", *TASK, "--yes", "--json")
        assert 1 == result.code
        assert "nothing there" == json.loads(result.out)["forgotten"]


def test_aliases_are_forgotten_with_the_task(cli, shop, store):
    """A worker claims a task's aliases, too, while a rename is being deployed."""
    for name in ("shop.welcome", "shop.hello"):
        assert store.complete(ClaimKey(name, "welcome-42"), claim(store, task=name), result=None, keep=DAY)
    result = cli("idempotency", "forget", "welcome-42", *TASK, "--yes", "--app", "shop", "--json")
    assert 0 == result.code
    said = [json.loads(line) for line in result.out.splitlines()]
    assert [("shop.welcome", "removed"), ("shop.hello", "removed")] == [(one["task"], one["forgotten"]) for one in said]
    assert store.show(ClaimKey("shop.hello", "welcome-42")) is None


def test_a_task_that_the_app_does_not_know(cli, shop, store):
    """Is noted, since its name is part of the key."""
    result = cli("idempotency", "show", "welcome-42", "--task", "shop.welcom", "--app", "shop")
    assert 1 == result.code
    assert "shop has no task 'shop.welcom': did you mean 'shop.welcome'?" in result.err


def test_what_could_steer_a_terminal_is_shown(cli, shop, store):
    """Keys and owners are others' texts."""
    store.claim(ClaimKey("shop.welcome", "a\x1b[2J"), owner="o\x1b[2J", lease=MINUTE, fingerprint=None, keep=DAY)
    result = cli("idempotency", "show", "a\x1b[2J", *TASK)
    assert 0 == result.code
    assert "\x1b" not in result.out


def test_the_task_has_to_be_named(cli, shop):
    """Exit code 2."""
    assert 2 == cli("idempotency", "show", "welcome-42").code
