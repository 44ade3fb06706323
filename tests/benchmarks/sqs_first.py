"""The program beside which a worker's start is measured: a loop over boto3 that says when its first task ran."""

from __future__ import annotations

import json
import os
import time

import boto3


def noop(text: str) -> None:
    """Says when it ran."""
    print(f"ran {time.monotonic()}", flush=True)


def main() -> None:
    """Ten a receive, all run one after the other, ten a delete, until it is ended."""
    client = boto3.client("sqs", region_name="us-east-1")
    queue = f"{os.environ['AWS_ENDPOINT_URL']}/000000000000/{os.environ['BENCH_QUEUE']}"
    while True:
        messages = client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        entries = []
        for number, message in enumerate(messages.get("Messages", ())):
            noop(**json.loads(message["Body"])["payload"])
            entries.append({"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]})
        if entries:
            client.delete_message_batch(QueueUrl=queue, Entries=entries)


if __name__ == "__main__":
    main()
