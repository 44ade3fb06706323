"""An event source mapping over `FakeSqs`: what it hands to the function, and what it makes of the answer."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from tenacity import stop_after_attempt, wait_fixed

from cloudq import App, RetryPolicy
from cloudq.drivers.sqs import SQSDriver
from cloudq.testing.clock import FakeClock
from tests.unit.drivers.sqs.fakes import ENDPOINT, FakeSqs

REGION = "eu-west-1"
URL = f"sqs://{REGION}?prefix=prod-"
QUEUES = ("prod-default", "prod-default-dlq", "prod-orders.fifo", "prod-orders-dlq.fifo")
TIMEOUT = timedelta(seconds=30)
SECOND = timedelta(seconds=1)
SOON = RetryPolicy(wait=wait_fixed(7))
LATE = RetryPolicy(wait=wait_fixed(300))
ONCE = RetryPolicy(stop=stop_after_attempt(1))


def fail() -> None:
    """A task that fails."""
    raise RuntimeError("boom")


async def async_ok() -> None:
    """A coroutine that ends well."""


def ids(event: dict) -> list[str]:
    """Those of an event's messages."""
    return [record["messageId"] for record in event["Records"]]


def record_of(message: dict, queue: str) -> dict:
    """A message as the mapping hands it over."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"SenderId": "AIDAIENQZJOLO23YVJ4VO", **message["Attributes"]},
        "messageAttributes": {
            name: {"stringListValues": [], "binaryListValues": [], "dataType": given["DataType"]}
            | ({"stringValue": given["StringValue"]} if "StringValue" in given else {})
            | ({"binaryValue": base64.b64encode(given["BinaryValue"]).decode()} if "BinaryValue" in given else {})
            for name, given in message["MessageAttributes"].items()
        },
        "md5OfBody": "098f6bcd4621d373cade4e832627b4f6",
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:1:{queue}",
        "awsRegion": REGION,
    }


class Invocation:
    """The context of one invocation: its time runs by the test's clock."""

    def __init__(self, clock: FakeClock, timeout: timedelta = TIMEOUT) -> None:
        self._clock = clock
        self._deadline = clock.now() + timeout

    def get_remaining_time_in_millis(self) -> int:
        return max(0, (self._deadline - self._clock.now()) // timedelta(milliseconds=1))


class Mapping:
    """A mapping with ReportBatchItemFailures: receives, invokes, deletes what the answer leaves out.

    Attributes:
        app: An app on `sqs`, whose tasks a test declares.
        sqs: The service. What the function itself calls is in `calls`.
        clock: The time of the app.
        calls: The operations that the function called, in order.
    """

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.sqs = FakeSqs(*QUEUES)
        self.app = App(URL)
        self.calls: list[tuple[str, dict]] = []

    @contextmanager
    def connected(self) -> Iterator[Mapping]:
        driver = SQSDriver(REGION, prefix="prod-", client=self.sqs, clock=self.clock)
        with self.app.using(driver, clock=self.clock):
            yield self

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.calls]

    def receive(self, queue: str = "default", *, limit: int = 10) -> dict:
        """The event for the next messages, all of a FIFO group too, as the service hands them over."""
        url = f"{ENDPOINT}/1/prod-{queue}"
        messages: list[dict] = []
        # A batch may have 10,000, a receive ten: the service's pollers gather them.
        while len(messages) < limit and (
            more := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=min(10, limit - len(messages))).get(
                "Messages"
            )
        ):
            messages += more
        return {"Records": [record_of(message, f"prod-{queue}") for message in messages]}

    def invoke(self, function, event: dict, *, timeout: timedelta = TIMEOUT) -> list[str]:
        """Invokes the function and acts on its answer. The ids that it names as failed."""
        self.sqs.calls.clear()
        try:
            answer = function(event, Invocation(self.clock, timeout))
        finally:
            self.calls = list(self.sqs.calls)
        failed = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
        assert set(failed) <= {record["messageId"] for record in event["Records"]}
        for record in event["Records"]:
            if record["messageId"] not in failed:
                self.delete(record)
        return failed

    def delete(self, record: dict) -> None:
        url = f"{ENDPOINT}/1/{record['eventSourceARN'].rpartition(':')[2]}"
        self.sqs.delete_message_batch(QueueUrl=url, Entries=[{"Id": "0", "ReceiptHandle": record["receiptHandle"]}])

    def messages(self, queue: str) -> list[dict]:
        return self.sqs.queues[f"{ENDPOINT}/1/prod-{queue}"]

    def visibilities(self) -> dict[str, int]:
        """The visibility timeouts that the function set, by receipt handle."""
        return {
            entry["ReceiptHandle"]: entry["VisibilityTimeout"]
            for operation, parameters in self.calls
            if operation == "ChangeMessageVisibilityBatch"
            for entry in parameters["Entries"]
        }
