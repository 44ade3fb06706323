"""Boilermaker's side of the Service Bus benchmark: one message a send, one a receive, which are its only ways."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

from aio_azure_clients_toolbox import ManagedAzureServiceBusSender
from boilermaker import Boilermaker
from boilermaker.sample import STATIC_DEBUG_TASK

from tests.benchmarks.service_bus_place import CONNECTION, PAYLOAD, QUEUE, Timer, main

logging.disable(logging.WARNING)
timer = Timer()


class State:
    """What every task is given: how many are left, and what is to be done when none is."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.over = asyncio.Event()


async def noop(state: State, text: str) -> None:
    """Does nothing with about 200 bytes."""
    timer.start()
    state.left -= 1
    if not state.left:
        state.over.set()


def made(state: State) -> Any:
    """Its app, with the ready message that its own client sends on each connection."""
    sender = ManagedAzureServiceBusSender(
        "localhost", QUEUE, connection_string=CONNECTION, ready_message=STATIC_DEBUG_TASK.model_dump_json()
    )
    app = Boilermaker(state, sender)
    app.register_async(noop)
    return app


def send(count: int) -> None:
    """One after the other."""

    async def run() -> None:
        state = State(count)
        app = made(state)
        await app.apply_async(noop, **PAYLOAD)  # opens the link
        timer.start()
        for _ in range(count - 1):
            await app.apply_async(noop, **PAYLOAD)
        timer.report(count - 1)
        await app.close()

    asyncio.run(run())


def work(count: int) -> None:
    """A worker, until all ran; but for the last one their messages are completed."""

    async def run() -> None:
        state = State(count)
        app = made(state)
        async with asyncio.TaskGroup() as group:
            group.create_task(app.run())
            await state.over.wait()
            timer.report(count)
            os._exit(0)  # cancelled, it goes on waiting for a message

    asyncio.run(run())


if __name__ == "__main__":
    main({"send": send, "single": send, "work": work})
