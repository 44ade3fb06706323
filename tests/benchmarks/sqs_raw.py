"""The floor of the SQS benchmark: a loop over boto3 with full batches, JSON bodies, and nothing of a task queue."""

from __future__ import annotations

import json
import uuid

import boto3

from tests.benchmarks.sqs_place import PAYLOAD, QUEUE_URL, REGION, main, timed


def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""


def send(count: int) -> None:
    """Ten a call."""
    client = boto3.client("sqs", region_name=REGION)

    def loop() -> None:
        for start in range(0, count, 10):
            entries = [
                {
                    "Id": str(number),
                    "MessageBody": json.dumps({"id": str(uuid.uuid4()), "task": "noop", "payload": PAYLOAD}),
                }
                for number in range(min(10, count - start))
            ]
            answer = client.send_message_batch(QueueUrl=QUEUE_URL, Entries=entries)
            assert not answer.get("Failed")

    timed(count, loop)


def work(count: int) -> None:
    """Ten a receive, all run one after the other, ten a delete."""
    client = boto3.client("sqs", region_name=REGION)

    def loop() -> None:
        left = count
        while left > 0:
            messages = client.receive_message(QueueUrl=QUEUE_URL, MaxNumberOfMessages=10, WaitTimeSeconds=20)
            entries = []
            for number, message in enumerate(messages.get("Messages", ())):
                noop(**json.loads(message["Body"])["payload"])
                entries.append({"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]})
            if entries:
                answer = client.delete_message_batch(QueueUrl=QUEUE_URL, Entries=entries)
                assert not answer.get("Failed")
            left -= len(entries)

    timed(count, loop)


if __name__ == "__main__":
    main({"send": send, "work": work})
