"""The floor of the SQS benchmark: loops over boto3 with JSON bodies, and nothing of a task queue."""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from typing import Any

import boto3
from botocore.config import Config

from tests.benchmarks.measure import Stopwatch
from tests.benchmarks.sqs_place import LOOPS, PAYLOAD, QUEUE_URL, REGION, THREADS, Countdown, in_threads, main, timed


def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""


def made() -> str:
    """A message's body."""
    return json.dumps({"id": str(uuid.uuid4()), "task": "noop", "payload": PAYLOAD})


def opened() -> Any:
    """A client with its defaults, but for a connection for each thread: without, it would throw some away."""
    return boto3.client("sqs", region_name=REGION, config=Config(max_pool_connections=THREADS))


def send_many(count: int) -> None:
    """Ten a call."""
    client = opened()

    def loop() -> None:
        for _ in range(count // 10):
            entries = [{"Id": str(number), "MessageBody": made()} for number in range(10)]
            answer = client.send_message_batch(QueueUrl=QUEUE_URL, Entries=entries)
            assert not answer.get("Failed")

    timed(count, loop)


def send(count: int) -> None:
    """One a call."""
    client = opened()
    timed(count, lambda: [client.send_message(QueueUrl=QUEUE_URL, MessageBody=made()) for _ in range(count)])


def threads(count: int) -> None:
    """Sixteen threads with a client between them, each one a call."""
    client = opened()
    timed(count, lambda: in_threads(count, lambda: client.send_message(QueueUrl=QUEUE_URL, MessageBody=made())))


def taken(client: Any, wait: int) -> int:
    """Ten a receive, all run one after the other, ten a delete. How many there were."""
    messages = client.receive_message(QueueUrl=QUEUE_URL, MaxNumberOfMessages=10, WaitTimeSeconds=wait)
    entries = []
    for number, message in enumerate(messages.get("Messages", ())):
        noop(**json.loads(message["Body"])["payload"])
        entries.append({"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]})
    if entries:
        answer = client.delete_message_batch(QueueUrl=QUEUE_URL, Entries=entries)
        assert not answer.get("Failed")
    return len(entries)


def work(count: int) -> None:
    """One loop."""
    client = opened()

    def loop() -> None:
        left = count
        while left > 0:
            left -= taken(client, 20)

    timed(count, loop)


def loops(count: int) -> None:
    """Eight loops, each a thread with a client of its own, until all are deleted."""
    countdown = Countdown(count)
    clients = [opened() for _ in range(LOOPS)]

    def loop(client: Any) -> None:
        while not countdown.over:
            for _ in range(taken(client, 20)):
                countdown.ran()

    watch = Stopwatch()
    for client in clients:
        threading.Thread(target=loop, args=[client], daemon=True).start()
    countdown.wait()
    watch.report(count)
    sys.stdout.flush()
    os._exit(0)  # the other loops wait for messages that don't come


if __name__ == "__main__":
    main({"send_many": send_many, "send": send, "threads": threads, "work": work, "loops": loops})
