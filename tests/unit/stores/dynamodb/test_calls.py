"""How the store calls DynamoDB: what is asked first, how long it waits, and what errors become."""

from __future__ import annotations

from datetime import UTC, timedelta
from email.utils import format_datetime

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from cloudq.aws_wire.bounded import left
from cloudq.aws_wire.clients import Clients
from cloudq.core.clock import to_micros
from cloudq.errors import BackendUnavailable, StoreRefused, StoreUnavailable
from cloudq.stores.dynamodb.calls import ConditionFailed, TableCalls
from cloudq.stores.dynamodb.time import LONGEST_CALL, ServiceTime
from cloudq.testing.clock import START, FakeClock
from tests.unit.stores.dynamodb.fakes import Client, refused

DATE = format_datetime((START + timedelta(hours=5)).astimezone(UTC), usegmt=True)


def calls(client: Client, *, timeout: timedelta = timedelta(seconds=5)) -> TableCalls:
    return TableCalls(Clients(lambda: client), "claims", ServiceTime(FakeClock()), timeout=timeout)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused("ProvisionedThroughputExceededException"), StoreUnavailable),
        (refused("InternalServerError"), StoreUnavailable),
        (EndpointConnectionError(endpoint_url="https://dynamodb"), StoreUnavailable),
        (BackendUnavailable("PutItem: the answer was cut"), StoreUnavailable),
        (refused("AccessDeniedException"), StoreRefused),
        (refused("ResourceNotFoundException"), StoreRefused),
        (refused("ValidationException"), StoreRefused),
    ],
    ids=["throttled", "failed", "unreachable", "cut", "denied", "no table", "invalid"],
)
def test_what_failed_is_said_by_its_kind(error: Exception, kind: type[Exception]) -> None:
    """With the table, so that it can be mended."""
    with pytest.raises(kind, match="'claims'"):
        calls(Client(error)).make("put_item")


def test_a_condition_that_does_not_hold_brings_what_is_there() -> None:
    """In the same answer: a second look would find something else."""
    error = ClientError(
        {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": {"id": {"S": "1"}}},  # type: ignore[typeddict-unknown-key]
        "PutItem",
    )
    client = Client(error)
    assert calls(client).write("put_item", Key={}) == (False, {"id": {"S": "1"}})
    assert client.calls[0][1]["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
    with pytest.raises(ConditionFailed):
        calls(client).make("put_item")


def test_the_time_is_asked_for_once_before_it_is_used() -> None:
    """By a consistent read of nothing, whatever this machine's clock says."""
    client = Client(date=DATE)
    made = calls(client)
    assert made.now() == made.now() == to_micros(START + timedelta(hours=5))
    assert [(name, arguments["ConsistentRead"]) for name, arguments in client.calls] == [("get_item", True)]


def test_a_time_that_is_never_told_is_not_asked_for_again() -> None:
    """Something on the way takes the date out: this machine's clock has to do."""
    client = Client()
    made = calls(client)
    assert made.now() == made.now() == to_micros(START)
    assert len(client.calls) == 1


def test_any_answer_tells_the_time() -> None:
    """That of a write, and of one that was refused."""
    for client in (Client(date=DATE), Client(refused("ConditionalCheckFailedException"), date=DATE)):
        made = calls(client)
        made.write("put_item")
        assert made.now() == to_micros(START + timedelta(hours=5))
        assert len(client.calls) == 1


@pytest.mark.parametrize(("timeout", "most"), [(3, 3), (60, LONGEST_CALL.total_seconds())])
def test_a_call_has_a_deadline(timeout: float, most: float) -> None:
    """The store's time limit, or that within which an answer's date is worth something."""
    seen: list[float | None] = []
    client = Client(then=lambda: seen.append(left()))
    calls(client, timeout=timedelta(seconds=timeout)).make("get_item")
    (rest,) = seen
    assert rest is not None
    assert most - 1 < rest <= most
