"""Idempotency keys in a Lambda function, whose process stands still between two invocations."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cloudq.aws_lambda import handler
from cloudq.core.store import ClaimKey, RecordState
from cloudq.running.claims import MARGIN
from cloudq.stores.memory import MemoryStore
from tests.unit.aws_lambda.fakes import SOON, TIMEOUT, Invocation, Mapping, ids

KEY = ClaimKey("charge", "order-42")


@pytest.fixture
def keyed(mapping: Mapping) -> Mapping:
    """With a store, and a message of a key."""
    with mapping.app.using(mapping.app.driver(), clock=mapping.clock, store=MemoryStore(mapping.clock)):
        yield mapping


def send(mapping: Mapping) -> None:
    mapping.app.send("charge", {"order": 42}, idempotency_key="order-42")


def test_a_claim_lasts_until_the_invocations_end_and_a_little_longer(keyed: Mapping) -> None:
    """A thread that stands still renews nothing: so no thread is started, and a killed function's claim lapses."""
    seen, before = [], set(threading.enumerate())

    @keyed.app.task("charge", idempotency_key="order-{order}")
    def charge(order: int) -> None:
        record = keyed.app.runtime.store.show(KEY)
        seen.append(record.until - keyed.clock.now())
        assert "cloudq-claims" not in {thread.name for thread in set(threading.enumerate()) - before}

    send(keyed)
    assert [] == keyed.invoke(handler(keyed.app), keyed.receive())
    [left] = seen
    assert TIMEOUT - timedelta(seconds=4) + MARGIN <= left <= TIMEOUT + MARGIN
    assert RecordState.COMPLETED is keyed.app.runtime.store.show(KEY).state


def test_a_clean_return_gives_the_claim_back(keyed: Mapping) -> None:
    """A task that failed can be handed over again, to another instance, at once."""

    @keyed.app.task("charge", idempotency_key="order-{order}", retry=SOON)
    def charge(order: int) -> None:
        raise RuntimeError("boom")

    send(keyed)
    event = keyed.receive()
    assert ids(event) == keyed.invoke(handler(keyed.app), event)
    assert RecordState.RELEASED is keyed.app.runtime.store.show(KEY).state


def test_a_record_that_comes_again_is_answered_as_done(keyed: Mapping) -> None:
    """It is deleted, and its task doesn't run."""
    runs = []

    @keyed.app.task("charge", idempotency_key="order-{order}")
    def charge(order: int) -> None:
        runs.append(order)

    function = handler(keyed.app)
    send(keyed)
    event = keyed.receive()
    for _ in range(2):
        assert [] == keyed.invoke(function, event)
    assert [42] == runs


def test_claiming_opens_no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that succeeds needs the store, and nothing of SQS."""
    made = Mapping()
    with made.connected():
        send(made)
        event = made.receive()
    made.app.configure(store="memory://")
    made.app.task("charge", idempotency_key="order-{order}")(lambda order: None)
    assert {"batchItemFailures": []} == handler(made.app)(event, Invocation(made.clock))
    assert not made.app.is_open
    assert RecordState.COMPLETED is made.app.runtime.store.show(KEY).state
