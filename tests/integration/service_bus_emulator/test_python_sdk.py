"""azure-servicebus, synchronous, against the emulator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
)

pytestmark = pytest.mark.slow
WAIT = 5  # seconds; what is there comes at once


def send(client: ServiceBusClient, queue: str, *bodies: str, **properties: object) -> None:
    with client.get_queue_sender(queue) as sender:
        for body in bodies:
            sender.send_messages(ServiceBusMessage(body, **properties))


def receive(receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage:
    (message,) = receiver.receive_messages(max_message_count=1, max_wait_time=WAIT)
    return message


def test_send_receive_complete(client: ServiceBusClient, queue: str) -> None:
    """A message arrives with all that it was sent with; completed, it is gone."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    message = ServiceBusMessage(
        b"body",
        message_id="id",
        subject="subject",
        content_type="text/plain",
        correlation_id="correlation",
        to="to",
        reply_to="reply-to",
        time_to_live=timedelta(hours=1),
        application_properties={"text": "t", "number": 5, "flag": True, "float": 1.5},
    )
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(message)
    with client.get_queue_receiver(queue) as receiver:
        got = receive(receiver)
        assert b"body" == b"".join(got.body)
        assert ("id", "subject", "text/plain", "correlation", "to", "reply-to", timedelta(hours=1)) == (
            got.message_id, got.subject, got.content_type, got.correlation_id, got.to, got.reply_to, got.time_to_live,
        )  # fmt: skip
        assert {b"text": b"t", b"number": 5, b"flag": True, b"float": 1.5} == got.application_properties
        assert (0, 1) == (got.delivery_count, got.sequence_number)
        assert before < got.enqueued_time_utc < got.locked_until_utc
        receiver.complete_message(got)
        assert [] == receiver.peek_messages(10)


def test_batches(client: ServiceBusClient, queue: str) -> None:
    """A batch is stored as messages, which come in order."""
    with client.get_queue_sender(queue) as sender, client.get_queue_receiver(queue) as receiver:
        batch = sender.create_message_batch()
        for number in range(50):
            batch.add_message(ServiceBusMessage(str(number)))
        sender.send_messages(batch)
        got: list[ServiceBusReceivedMessage] = []
        while len(got) < 50:
            got += receiver.receive_messages(max_message_count=50, max_wait_time=WAIT)
        assert [str(number) for number in range(50)] == [str(message) for message in got]
        for message in got:
            receiver.complete_message(message)
