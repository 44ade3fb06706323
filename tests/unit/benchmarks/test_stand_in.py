"""The benchmarks' stand-in of SQS, by boto3: what its clients repeat is answered as SQS answers it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from localstack.start import CREDENTIALS
from tests.benchmarks.stand_in.control import Control
from tests.benchmarks.stand_in.process import stand_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service() -> Iterator[Control]:
    with stand_in() as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Control) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, text in CREDENTIALS.items():
            patch.setenv(name, text)
        made = boto3.client("sqs", endpoint_url=service.url, config=Config(retries={"total_max_attempts": 1}))
        yield made
    made.close()


@pytest.fixture
def queue(client: Any, request: pytest.FixtureRequest) -> str:
    url: str = client.create_queue(QueueName=request.node.name)["QueueUrl"]
    return url


def test_what_was_sent_is_received_once_and_deleted(client: Any, queue: str) -> None:
    """Ten a call: each arrives with its body and attributes, and isn't there any more when it was deleted."""
    attributes = {"a": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    entries = [{"Id": str(n), "MessageBody": f"body {n} ü", "MessageAttributes": attributes} for n in range(10)]
    sent = client.send_message_batch(QueueUrl=queue, Entries=entries)
    assert 10 == len(sent["Successful"])
    assert not sent.get("Failed")
    asked = {"QueueUrl": queue, "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"]}
    got = client.receive_message(**asked, MessageAttributeNames=["All"])["Messages"]
    assert [f"body {n} ü" for n in range(10)] == [one["Body"] for one in got]
    assert [one["MD5OfMessageBody"] for one in sent["Successful"]] == [one["MD5OfBody"] for one in got]
    assert {"1"} == {one["Attributes"]["ApproximateReceiveCount"] for one in got}
    assert b"\x00\xff" == got[0]["MessageAttributes"]["a"]["BinaryValue"]
    assert "Messages" not in client.receive_message(**asked)
    receipts = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)]
    assert 10 == len(client.delete_message_batch(QueueUrl=queue, Entries=receipts)["Successful"])
    numbers = client.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    assert ["0", "0"] == [numbers["ApproximateNumberOfMessages"], numbers["ApproximateNumberOfMessagesNotVisible"]]


def test_what_is_not_deleted_comes_again(client: Any, queue: str) -> None:
    """A message whose visibility is set to 0 comes again, counted twice; its first receipt changes nothing any more."""
    client.send_message(QueueUrl=queue, MessageBody="x")
    asked = {"QueueUrl": queue, "WaitTimeSeconds": 5, "MessageSystemAttributeNames": ["All"]}
    first = client.receive_message(**asked)["Messages"][0]
    client.change_message_visibility(QueueUrl=queue, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    second = client.receive_message(**asked)["Messages"][0]
    assert "2" == second["Attributes"]["ApproximateReceiveCount"]
    entry = {"Id": "a", "ReceiptHandle": first["ReceiptHandle"], "VisibilityTimeout": 9}
    assert ["a"] == [
        one["Id"] for one in client.change_message_visibility_batch(QueueUrl=queue, Entries=[entry])["Failed"]
    ]
    client.delete_message(QueueUrl=queue, ReceiptHandle=first["ReceiptHandle"])
    client.change_message_visibility(QueueUrl=queue, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=0)
    assert "3" == client.receive_message(**asked)["Messages"][0]["Attributes"]["ApproximateReceiveCount"]


def test_a_delayed_message_ends_a_long_poll_when_it_is_due(client: Any, queue: str) -> None:
    """A receive that waits is answered within its wait, not before the message is due."""
    client.send_message(QueueUrl=queue, MessageBody="later", DelaySeconds=1)
    began = time.monotonic()
    assert "later" == client.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"][0]["Body"]
    assert 0.9 < time.monotonic() - began


def test_a_queue_that_is_not_there_is_refused_by_name(client: Any) -> None:
    """botocore raises the exception that it has for it."""
    with pytest.raises(client.exceptions.QueueDoesNotExist):
        client.get_queue_url(QueueName="none")


def test_calls_are_counted_and_the_gate_holds_messages_back(service: Control, client: Any, queue: str) -> None:
    """Only what is repeated for tasks is counted; behind a closed gate a receive finds nothing."""
    service.calls()
    service.close_gate()
    client.send_message(QueueUrl=queue, MessageBody="x")
    assert "Messages" not in client.receive_message(QueueUrl=queue)
    before = time.monotonic()
    assert before <= service.open_gate() <= time.monotonic()
    assert 1 == len(client.receive_message(QueueUrl=queue)["Messages"])
    assert 1 == service.left(queue)
    assert 3 == service.calls()
    assert 0 == service.calls()


def test_purge_empties_a_queue(client: Any, queue: str) -> None:
    """Waiting messages are gone."""
    client.send_message(QueueUrl=queue, MessageBody="x")
    client.purge_queue(QueueUrl=queue)
    assert "Messages" not in client.receive_message(QueueUrl=queue)
    assert queue in client.list_queues()["QueueUrls"]


def test_each_answer_is_held_back() -> None:
    """By the milliseconds that it was started with."""
    with stand_in(delay=50) as slow:
        began = time.monotonic()
        slow.create("q")
        assert 0.05 <= time.monotonic() - began
        assert 0 == slow.left("q")
