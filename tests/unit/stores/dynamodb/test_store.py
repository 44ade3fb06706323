"""The store on DynamoDB, without one: what is asked for."""

from __future__ import annotations

from datetime import timedelta

from cloudq.aws_wire.clients import Clients
from cloudq.core.store import Claimed, ClaimKey
from cloudq.stores.dynamodb import DynamoStore
from cloudq.testing.clock import FakeClock
from tests.unit.stores.dynamodb.fakes import Client

KEY = ClaimKey("billing.charge", "order-1")
MINUTE = timedelta(minutes=1)


def opened(client: Client) -> DynamoStore:
    """A store that has looked at its table."""
    store = DynamoStore(Clients(lambda: client), "claims", "app", clock=FakeClock())
    store.check()
    client.calls.clear()
    return store


def test_claim_and_completion_are_a_write_each() -> None:
    """Two a task, and nothing is read."""
    client = Client()
    store = opened(client)
    claimed = store.claim(KEY, owner="me", lease=MINUTE, fingerprint=b"f" * 32, keep=MINUTE)
    assert isinstance(claimed, Claimed)
    assert store.complete(KEY, claimed.token, result=b"r", keep=MINUTE)
    assert [name for name, _ in client.calls] == ["put_item", "update_item"]
    assert all(arguments["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD" for _, arguments in client.calls)


def test_a_look_is_consistent() -> None:
    """A replica that is behind would show a claim that is over."""
    client = Client()
    assert opened(client).show(KEY) is None
    assert client.calls[0][1]["ConsistentRead"] is True
