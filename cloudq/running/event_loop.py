"""`EventLoop`: one event loop on a thread of its own, for all async tasks of an edge."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from cloudq.core.outcome import Outcome
from cloudq.core.processor import Processor
from cloudq.running.held import HeldLease

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("cloudq.worker")

Ended: TypeAlias = Callable[[HeldLease, Outcome, float], None]
"""Told the outcome of each task, and for how many seconds it ran."""


class EventLoop:
    """One event loop on a thread of its own, for all async tasks. asyncio is imported only now.

    Args:
        processor: Turns deliveries into outcomes.
        ended: Told each outcome.
    """

    def __init__(self, processor: Processor[Any], ended: Ended) -> None:
        import asyncio

        self._asyncio = asyncio
        self._processor = processor
        self._ended = ended
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._left = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="cloudq-async", daemon=True)
        self._thread.start()

    def run(self, held: HeldLease) -> None:
        """Starts an async task on the loop."""
        self._loop.call_soon_threadsafe(self._start, held)

    def stop(self, patience: timedelta = timedelta(seconds=1)) -> None:
        """Cancels what runs, lets it tidy up for so long, and ends the loop."""
        done: Future[None] = Future()
        self._loop.call_soon_threadsafe(self._cancel, done)
        self._thread.join(patience.total_seconds())

    def _run(self) -> None:
        self._asyncio.set_event_loop(self._loop)
        try:
            while not self._left:
                self._run_until_stopped()
        finally:
            self._loop.close()

    def _run_until_stopped(self) -> None:
        """Returns also when a task stops the loop that it shares with others, or leaves something there that does."""
        try:
            self._loop.run_forever()
        except BaseException:  # SystemExit and KeyboardInterrupt leave the loop; the other tasks are still on it
            logger.exception("something that a task left on the event loop raised; the loop goes on")

    def _start(self, held: HeldLease) -> None:
        task = self._loop.create_task(self._process(held), context=contextvars.Context())
        # The loop itself keeps only a weak reference.
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, held))

    async def _process(self, held: HeldLease) -> None:
        began = time.monotonic()
        try:
            outcome = await self._processor.aprocess(held.delivery, lease_lost=held.lost, until=held.until)
        except self._asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - it would end the loop, which others share
            outcome = self._processor.failed(held.delivery, error)
        self._ended(held, outcome, time.monotonic() - began)

    def _done(self, held: HeldLease, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() and not self._stopping:
            # By itself or by another task, perhaps before its first step: a failure like any other.
            error = self._asyncio.CancelledError("the task was cancelled by a task")
            self._ended(held, self._processor.failed(held.delivery, error), 0.0)

    def _cancel(self, done: Future[None]) -> None:
        self._stopping = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()

        async def leave() -> None:
            await self._asyncio.gather(*tasks, return_exceptions=True)
            await self._loop.shutdown_asyncgens()
            self._left = True
            self._loop.stop()
            done.set_result(None)

        self._leaving = self._loop.create_task(leave())
