"""The one way by which the driver calls AWS: bounded in time, with errors of cloudq."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cloudq.aws_wire.bounded import left
from cloudq.drivers.sqs.calls import Calls
from cloudq.errors import BackendUnavailable, CloudqError, QueueNotFound
from tests.unit.drivers.sqs.fakes import client_error
from tests.unit.drivers.sqs.using import Straight

SECOND = timedelta(seconds=1)


class Client:
    """Notes the time that a call has, and raises what it is told."""

    def __init__(self) -> None:
        self.left: list[float] = []
        self.given: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def send_message(self, **parameters: Any) -> dict[str, object]:
        time_left = left()
        assert time_left is not None
        self.left.append(time_left)
        self.given.append(parameters)
        if self.error is not None:
            raise self.error
        return {"MessageId": "1"}


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def calls(client: Client) -> Calls:
    return Calls(Straight(client), 5 * SECOND)


def test_a_call_has_the_time_of_one_call(calls: Calls, client: Client) -> None:
    """Its parameters are the caller's, and the answer is botocore's."""
    assert {"MessageId": "1"} == calls.make("send_message", "q", QueueUrl="u")
    assert [{"QueueUrl": "u"}] == client.given
    assert 4 < client.left[0] <= 5
    assert left() is None


def test_what_the_service_may_hold_open_comes_on_top(calls: Calls, client: Client) -> None:
    """A long poll has its wait besides, also within the time of a method."""
    calls.make("send_message", "q", wait=8 * SECOND)
    assert 12 < client.left[0] <= 13


def test_calls_of_one_method_share_its_time(calls: Calls, client: Client) -> None:
    """The second has what the first left."""
    with calls.all_within():
        calls.make("send_message", "q")
        calls.make("send_message", "q")
    assert client.left[1] < client.left[0] <= 5


def test_a_call_that_would_begin_too_late_is_not_made(client: Client) -> None:
    """It is no refusal: it can be tried again."""
    calls = Calls(Straight(client), timedelta(0))
    with calls.all_within(), pytest.raises(BackendUnavailable, match="queue 'q': no time was left"):
        calls.make("send_message", "q")
    assert [] == client.left


def test_a_failure_is_an_error_of_cloudq(calls: Calls, client: Client) -> None:
    """With the SDK's as its cause, and the queue in its text."""
    client.error = client_error("AWS.SimpleQueueService.NonExistentQueue", status=400)
    with pytest.raises(QueueNotFound, match="'q'") as caught:
        calls.make("send_message", "q")
    assert client.error is caught.value.__cause__


def test_an_error_of_cloudq_stays_as_it_is(calls: Calls, client: Client) -> None:
    """It isn't its own cause, which those who walk the chain would follow for ever."""
    client.error = BackendUnavailable("not now")
    with pytest.raises(CloudqError) as caught:
        calls.make("send_message", "q")
    assert client.error is caught.value
    assert caught.value.__cause__ is None
