"""How both of Taskiq's sides receive."""

from __future__ import annotations

import asyncio

from taskiq import AsyncBroker
from taskiq.receiver import Receiver

from tests.benchmarks.measure import Stopwatch
from tests.benchmarks.sqs_place import Countdown


async def receive(broker: AsyncBroker, countdown: Countdown) -> None:
    """A receiver as its worker has it, until all tasks ran and their messages are deleted; prints the figures."""
    await broker.startup()
    receiver = Receiver(broker, max_async_tasks=100, max_prefetch=0)
    over = asyncio.Event()
    watch = Stopwatch()
    listening = asyncio.create_task(receiver.listen(over))
    async with asyncio.timeout(240):
        while not countdown.over:
            await asyncio.sleep(0.01)
    watch.over()
    over.set()
    await listening
    await broker.shutdown()
    watch.report(countdown.count)
