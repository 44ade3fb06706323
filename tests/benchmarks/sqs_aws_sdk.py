"""Loops over aws-sdk-sqs, Amazon's new asynchronous client, with full batches and nothing of a task queue."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable

from aws_sdk_sqs.client import AsyncSQSClient
from aws_sdk_sqs.config import AsyncSQSConfig
from aws_sdk_sqs.models import (
    DeleteMessageBatchInput,
    DeleteMessageBatchRequestEntry,
    ReceiveMessageInput,
    SendMessageBatchInput,
    SendMessageBatchRequestEntry,
    SendMessageInput,
)

from tests.benchmarks.measure import Stopwatch
from tests.benchmarks.sqs_place import ENDPOINT, PAYLOAD, QUEUE_URL, REGION, main


def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""


def made() -> str:
    """A message's body."""
    return json.dumps({"id": str(uuid.uuid4()), "task": "noop", "payload": PAYLOAD})


def timed(count: int, work: Callable[[AsyncSQSClient], Awaitable[None]]) -> None:
    """Does the work with a client, and prints what it took."""

    async def run() -> None:
        config = await AsyncSQSConfig.resolve(region=REGION, endpoint_uri=ENDPOINT)
        async with AsyncSQSClient(config) as client:
            watch = Stopwatch()
            await work(client)
            watch.report(count)

    asyncio.run(run())


def send_many(count: int) -> None:
    """Ten a call."""

    async def loop(client: AsyncSQSClient) -> None:
        for _ in range(count // 10):
            entries = [SendMessageBatchRequestEntry(id=str(number), message_body=made()) for number in range(10)]
            answer = await client.send_message_batch(SendMessageBatchInput(queue_url=QUEUE_URL, entries=entries))
            assert not answer.failed

    timed(count, loop)


def send(count: int) -> None:
    """One a call."""

    async def loop(client: AsyncSQSClient) -> None:
        for _ in range(count):
            await client.send_message(SendMessageInput(queue_url=QUEUE_URL, message_body=made()))

    timed(count, loop)


def work(count: int) -> None:
    """Ten a receive, all run one after the other, ten a delete."""
    asked = ReceiveMessageInput(queue_url=QUEUE_URL, max_number_of_messages=10, wait_time_seconds=20)

    async def loop(client: AsyncSQSClient) -> None:
        left = count
        while left > 0:
            entries = []
            for number, message in enumerate((await client.receive_message(asked)).messages or ()):
                assert message.body is not None
                assert message.receipt_handle is not None
                noop(**json.loads(message.body)["payload"])
                entries.append(DeleteMessageBatchRequestEntry(id=str(number), receipt_handle=message.receipt_handle))
            if entries:
                deletion = DeleteMessageBatchInput(queue_url=QUEUE_URL, entries=entries)
                assert not (await client.delete_message_batch(deletion)).failed
            left -= len(entries)

    timed(count, loop)


if __name__ == "__main__":
    main({"send_many": send_many, "send": send, "work": work})
