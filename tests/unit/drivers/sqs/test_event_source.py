"""From the event of an event source mapping to deliveries."""

from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime, timedelta

import pytest

from cloudq.core.failure import Failure
from cloudq.drivers.sqs import bodies
from cloudq.drivers.sqs.event_source import Origin, arrivals, lease_of
from cloudq.drivers.sqs.limits import MAX_LEASE
from cloudq.drivers.sqs.receipts import Receipt
from cloudq.errors import PushRefused
from cloudq.testing.clock import START

EVENT = '{"specversion": "1.0", "id": "m-1", "source": "/shop", "type": "shop.pay", "data": {"n": 1}}'
UNTIL = START + timedelta(seconds=30)
ELAPSED = timedelta(days=3)

# The samples of the AWS Lambda Developer Guide, "Using Lambda with Amazon SQS", in their shape: a standard queue's, and
# a FIFO queue's.
STANDARD = {
    "Records": [
        {
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
            "body": EVENT,
            "attributes": {
                "ApproximateReceiveCount": "2",
                "SentTimestamp": "1545082649183",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1545082649185",
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:prod-my-queue",
            "awsRegion": "us-east-2",
        }
    ]
}
FIFO = {
    "Records": [
        {
            "messageId": "11d6ee51-4cc7-4302-9e22-7cd8afdaadf5",
            "receiptHandle": "AQEBBX8nesZEXmkhsmZeyIE8iQAMig7qw...",
            "body": "Test message.",
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1573251510774",
                "SequenceNumber": "18849496460467696128",
                "MessageGroupId": "1",
                "SenderId": "AIDAIO23YVJENQZJOL4VO",
                "MessageDeduplicationId": "1",
                "ApproximateFirstReceiveTimestamp": "1573251510774",
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:fifo.fifo",
            "awsRegion": "us-east-2",
        }
    ]
}


def of(event: object, **origin: str):
    return arrivals(event, Origin(**origin), now=START, until=UNTIL, elapsed=ELAPSED)


def changed(**fields: object) -> dict:
    event = copy.deepcopy(STANDARD)
    event["Records"][0].update(fields)
    return event


def test_a_standard_queues_record() -> None:
    """The queue's name is the ARN's less the prefix; counts and times are the service's."""
    (arrival,) = of(STANDARD, prefix="prod-", region="us-east-2", account="123456789012")
    delivery = arrival.delivery
    assert ("my-queue", "m-1", 2, 2) == (delivery.queue, delivery.id, delivery.attempt, delivery.deliveries)
    assert ("123456789012", None, None) == (arrival.account, arrival.group, delivery.group)
    assert STANDARD["Records"][0]["messageId"] == arrival.id
    assert datetime(2018, 12, 17, 21, 37, 29, 185000, tzinfo=UTC) == delivery.first_received_at
    assert STANDARD["Records"][0] is delivery.raw


def test_a_fifo_queues_record() -> None:
    """It has its group; what can't be decoded is handed over like any other."""
    (arrival,) = of(FIFO)
    assert ("1", "1", "fifo.fifo") == (arrival.group, arrival.delivery.group, arrival.delivery.queue)
    assert (None, b"Test message.") == (arrival.delivery.message, arrival.delivery.body)


def test_a_group_of_a_standard_queue_is_no_order() -> None:
    """There it is a matter of fairness."""
    attributes = STANDARD["Records"][0]["attributes"] | {"MessageGroupId": "tenant-1"}
    (arrival,) = of(changed(attributes=attributes))
    assert (None, None, "tenant-1") == (arrival.group, arrival.delivery.group, arrival.delivery.fairness_key)


def test_the_failure_beside_the_body_is_read() -> None:
    """As text, or, where it holds what SQS refuses in a text, as bytes."""
    failure = Failure(reason="boom", attempts=3)
    text = {"dataType": "String", "stringValue": failure.encode().decode(), "binaryListValues": []}
    encoded = {"dataType": "Binary", "binaryValue": base64.b64encode(failure.encode()).decode()}
    for attribute in (text, encoded):
        (arrival,) = of(changed(messageAttributes={bodies.FAILURE: attribute}))
        assert failure == arrival.delivery.failure


def test_a_body_in_base64_is_decoded() -> None:
    """What isn't a text that SQS takes travels so."""
    attribute = {"dataType": "String", "stringValue": "base64"}
    body = base64.b64encode(b"\x00\xff").decode()
    (arrival,) = of(changed(body=body, messageAttributes={bodies.ENCODING: attribute}))
    assert b"\x00\xff" == arrival.delivery.body


def test_a_binary_value_that_is_no_base64_is_taken_as_it_is() -> None:
    """It says that it can't be read, rather than failing the batch."""
    (arrival,) = of(changed(messageAttributes={bodies.FAILURE: {"dataType": "Binary", "binaryValue": "%"}}))
    assert arrival.delivery.failure is not None
    assert "can't be read" in arrival.delivery.failure.reason


def test_a_dead_letter_that_was_moved_back_starts_anew() -> None:
    """As in the worker: no attempts used up, a generation of its own."""
    attribute = {"dataType": "String", "stringValue": Failure(reason="x", generation=4).encode().decode()}
    (arrival,) = of(changed(messageAttributes={bodies.DEAD: attribute}))
    assert arrival.delivery.message is not None
    assert (5, 2, None) == (arrival.delivery.message.generation, arrival.delivery.attempt, arrival.delivery.failure)


def test_the_lease_lasts_as_long_as_the_function() -> None:
    """The receipt comes with the queue's URL; the service's 12 hours are counted from well before."""
    (arrival,) = of(STANDARD)
    lease = lease_of(arrival, "https://sqs/1/my-queue")
    assert isinstance(lease.receipt, Receipt)
    assert ("https://sqs/1/my-queue", arrival.handle) == (lease.receipt.url, lease.receipt.handle)
    assert UNTIL == lease.expires_at
    assert ELAPSED + (UNTIL - START) == lease.ends == lease.receipt.ends
    assert START + MAX_LEASE - timedelta(minutes=10) == lease.hard_limit
    assert ELAPSED + MAX_LEASE - timedelta(minutes=10) == lease.hard_end == lease.receipt.hard_end
    assert arrival.handle not in repr(arrival)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (None, "has no Records"),
        ({}, "has no Records"),
        ([], "has no Records"),
        ({"Records": "text"}, "has no Records"),
        ({"Records": {"0": {}}}, "has no Records"),
        ({"detail-type": "Object Created", "source": "aws.s3", "detail": {}}, "one of EventBridge"),
        ({"specversion": "1.0", "type": "shop.pay", "data": {}}, "of another kind"),
        ({"Records": ["text"]}, "an object but a str"),
        ({"Records": [{"eventSource": "aws:s3", "s3": {}}]}, "of 'aws:s3', not of 'aws:sqs'"),
        ({"Records": [{"EventSource": "aws:sns", "Sns": {}}]}, "of None, not of 'aws:sqs'"),
        ({"Records": [{"eventSource": "aws:sqs"}]}, "isn't as Lambda writes it"),
        (changed(eventSourceARN="queue"), "isn't as Lambda writes it"),
        (changed(body=None), "isn't as Lambda writes it"),
        (changed(messageId=1), "isn't as Lambda writes it"),
        (changed(attributes={"ApproximateReceiveCount": "often"}), "isn't as Lambda writes it"),
        (changed(attributes=7), "isn't as Lambda writes it"),
        (changed(messageAttributes={"cloudq.dead": 7}), "isn't as Lambda writes it"),
        (changed(eventSourceARN="arn:aws:sqs:us-east-2:123456789012:my-queue-dlq"), "is a dead-letter queue"),
    ],
)
def test_what_is_no_event_of_a_queue_is_refused(event: object, why: str) -> None:
    """The whole batch: nothing of it runs, and nothing is lost."""
    with pytest.raises(PushRefused, match=why):
        of(event)


@pytest.mark.parametrize(
    ("origin", "why"),
    [
        ({"prefix": "test-"}, "start with 'test-', and 'prod-my-queue' doesn't"),
        ({"prefix": "prod-my-queue"}, "start with 'prod-my-queue'"),
        ({"region": "eu-west-1"}, "in region us-east-2, but the app's URL says eu-west-1"),
        ({"account": "000000000000"}, "in account 123456789012, but the app's URL says 000000000000"),
    ],
)
def test_a_queue_that_is_not_the_urls_is_refused(origin: dict[str, str], why: str) -> None:
    """Retries and dead letters would go elsewhere."""
    with pytest.raises(PushRefused, match=why) as caught:
        of(STANDARD, **origin)
    assert "CLOUDQ_URL" in str(caught.value.hint)
