"""Taskiq's side of the SQS benchmark, with taskiq-sqs, the package of its own organisation.

Recommended: its defaults with a long poll, one message a receive. Fastest: sends that are buffered for batches, ten
messages a receive.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from taskiq_sqs import SQSBroker

from tests.benchmarks.measure import Stopwatch
from tests.benchmarks.sqs_place import ENDPOINT, FASTEST, PAYLOAD, QUEUE, REGION, Countdown, main
from tests.benchmarks.taskiq_receiver import receive

logging.disable(logging.WARNING)
FAST = {"is_batching_enabled": True, "batch_timeout": 0.1, "max_number_of_messages": 10} if FASTEST else {}
settings: Any = {"name": QUEUE, "wait_time_seconds": 20, **FAST}
broker = SQSBroker(settings, endpoint_url=ENDPOINT, aws_region_name=REGION)
countdown = Countdown(0)


@broker.task(task_name="noop")
async def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""
    countdown.ran()


def send(count: int) -> None:
    """One after the other; in batches, until the last one is stored, which its shutdown waits for."""

    async def run() -> None:
        await broker.startup()
        watch = Stopwatch()
        for _ in range(count):
            await noop.kiq(**PAYLOAD)
        await broker.shutdown()
        watch.report(count)

    asyncio.run(run())


def work(count: int) -> None:
    """A receiver as its worker has it, until all ran and their messages are deleted."""
    countdown.count = count
    broker.is_worker_process = True
    asyncio.run(receive(broker, countdown))


if __name__ == "__main__":
    main({"send_many" if FASTEST else "send": send, "work": work})
