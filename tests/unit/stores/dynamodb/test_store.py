"""The store on DynamoDB, without one: what errors become, and what is asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from cloudq.core.store import Claimed, ClaimKey
from cloudq.errors import StoreRefused, StoreUnavailable
from cloudq.stores.dynamodb import DynamoStore
from cloudq.testing.clock import FakeClock

KEY = ClaimKey("billing.charge", "order-1")
MINUTE = timedelta(minutes=1)


class Client:
    """Answers each call alike, and notes it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> dict[str, Any]:
            self.calls.append((name, arguments))
            if self.error:
                raise self.error
            return {}

        return call


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "UpdateItem")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused("ProvisionedThroughputExceededException"), StoreUnavailable),
        (refused("InternalServerError"), StoreUnavailable),
        (EndpointConnectionError(endpoint_url="https://dynamodb"), StoreUnavailable),
        (refused("AccessDeniedException"), StoreRefused),
        (refused("ResourceNotFoundException"), StoreRefused),
    ],
)
def test_what_failed_is_said_by_its_kind(error: Exception, kind: type[Exception]) -> None:
    """With the table, so that it can be mended."""
    with pytest.raises(kind, match="'claims'"):
        DynamoStore(Client(error), "claims", "app", clock=FakeClock()).renew(KEY, 1, MINUTE)


def test_claim_and_completion_are_a_write_each() -> None:
    """Two a task, and nothing is read."""
    client = Client()
    store = DynamoStore(client, "claims", "app", clock=FakeClock())
    claimed = store.claim(KEY, owner="me", lease=MINUTE, fingerprint=b"f" * 32, keep=MINUTE)
    assert isinstance(claimed, Claimed)
    assert store.complete(KEY, claimed.token, result=b"r", keep=MINUTE)
    assert [name for name, _ in client.calls] == ["put_item", "update_item"]
    assert all(arguments["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD" for _, arguments in client.calls)


def test_a_look_is_consistent() -> None:
    """A replica that is behind would show a claim that is over."""
    client = Client()
    assert DynamoStore(client, "claims", "app", clock=FakeClock()).show(KEY) is None
    assert client.calls[0][1]["ConsistentRead"] is True
