"""`EventLoop`: one event loop on a thread of its own, for all async tasks of an edge; `LazyLoop` makes it if needed."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cloudq.core.failure import words_of
from cloudq.core.outcome import Outcome, Snoozed, Why
from cloudq.core.processor import Processor
from cloudq.core.safe_log import SafeLogger, is_ctrl_c
from cloudq.running.held import HeldLease
from cloudq.tasks.loop_ends import end

if TYPE_CHECKING:
    import asyncio

logger = SafeLogger("cloudq.worker")

Ended: TypeAlias = Callable[[HeldLease, Outcome, float], None]
"""Told the outcome of each task, and for how many seconds it ran."""

Dropped: TypeAlias = Callable[[HeldLease], None]
"""Told of a task that runs no more and has no outcome."""

# A task for which no event loop can be made comes back after this; the machine may have threads again by then.
NO_LOOP_DELAY: Final = timedelta(seconds=5)


class LazyLoop:
    """The event loop of an edge: made at its first async task, and anew if it is gone. Thread-safe.

    Args:
        processor: Turns deliveries into outcomes.
        ended: Told each outcome.
        dropped: Told of each that was cancelled with the loop, and so has no outcome; `None`: nobody is.
    """

    def __init__(self, processor: Processor[Any], ended: Ended, dropped: Dropped | None = None) -> None:
        self._processor = processor
        self._ended = ended
        self._dropped = dropped
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._loop: EventLoop | None = None
        self._stopped = False
        self.starved = False

    def run(self, held: HeldLease) -> None:
        """Starts an async task. Never raises: without a loop it comes back later, and no attempt is used.

        After `stop` it does nothing: what is taken at the last moment has been given up by then.
        """
        with self._lock:
            if self._stopped:
                if self._dropped is not None:
                    self._dropped(held)
                return
            try:
                self._run(held)
            except BaseException as error:
                # No thread, or no file descriptors, are left on this machine; or the app's own policy for loops raised.
                if is_ctrl_c(error):
                    raise
                self.starved = True
                reason = f"no event loop can be started: {words_of(error)}"
            else:
                self.starved = False
                return
        logger.error("%s", reason)
        self._ended(held, Snoozed(delay=NO_LOOP_DELAY, why=Why.NO_LOOP, reason=reason), 0.0)

    def leave(self) -> None:
        """Ends the loop without waiting for what blocks it; the next task gets another."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop(timedelta(0))

    def stop(self) -> None:
        """Cancels what runs, lets it tidy up for a second, and ends the loop for good."""
        with self._lock:
            loop, self._loop = self._loop, None
            self._stopped = True
        if loop is not None:
            loop.stop()

    def _run(self, held: HeldLease) -> None:
        if self._loop is not None and self._loop.alive:
            try:
                self._loop.run(held)
            except RuntimeError:
                logger.warning("the event loop is closed; another one is started")
            else:
                return
        self._loop = EventLoop(self._processor, self._ended, self._dropped)
        self._loop.run(held)


class EventLoop:
    """One event loop on a thread of its own, for all async tasks. asyncio is imported only now.

    Args:
        processor: Turns deliveries into outcomes.
        ended: Told each outcome.
        dropped: Told of each that was cancelled with the loop; `None`: nobody is.

    Raises:
        RuntimeError: No thread can be started.
        OSError: No file descriptors are left.
    """

    def __init__(self, processor: Processor[Any], ended: Ended, dropped: Dropped | None = None) -> None:
        import asyncio

        self._asyncio = asyncio
        self._processor = processor
        self._ended = ended
        self._dropped = dropped
        # Those in hand; only the loop's thread touches it.
        self._tasks: dict[asyncio.Task[None], HeldLease] = {}
        self._stopping = False
        self._left = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="cloudq-async", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._loop.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether its thread runs. In a forked process it doesn't."""
        return self._thread.is_alive()

    def run(self, held: HeldLease) -> None:
        """Starts an async task on the loop.

        Raises:
            RuntimeError: The loop is closed.
        """
        self._loop.call_soon_threadsafe(self._start, held)

    def stop(self, patience: timedelta = timedelta(seconds=1)) -> None:
        """Cancels what runs, lets it tidy up for that long, and ends the loop."""
        try:
            self._loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:
            return  # it is closed
        self._thread.join(patience.total_seconds())

    def _serve(self) -> None:
        self._asyncio.set_event_loop(self._loop)
        try:
            while not (self._left or self._loop.is_closed()):
                self._serve_until_stopped()
        finally:
            self._loop.close()
            self._end_the_rest()

    def _serve_until_stopped(self) -> None:
        """Returns also when a task stops the loop that it shares with others, or leaves something there that does."""
        try:
            self._loop.run_forever()
        except BaseException:  # SystemExit and KeyboardInterrupt leave the loop; the other tasks are still on it
            logger.exception("something that a task left on the event loop raised; the loop goes on")

    def _start(self, held: HeldLease) -> None:
        coroutine = self._process(held)
        try:
            # A copy of the context of who called `run`, so that variables don't leak from one task into the next.
            task = self._loop.create_task(coroutine, context=contextvars.copy_context())
        except BaseException as error:  # noqa: BLE001 - a task may have set a factory for tasks on the loop that it shares
            coroutine.close()
            self._end(held, self._processor.failed(held.delivery, error), 0.0)
            return
        # The loop itself keeps only a weak reference.
        self._tasks[task] = held
        task.add_done_callback(self._finish)

    async def _process(self, held: HeldLease) -> None:
        began = time.monotonic()
        try:
            outcome = await self._processor.aprocess(held.delivery, lease_lost=held.lost, until=held.until)
        except self._asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - it would end the loop, which others share
            outcome = self._processor.failed(held.delivery, error)
        self._end(held, outcome, time.monotonic() - began)

    def _finish(self, task: asyncio.Task[None]) -> None:
        held = self._tasks.pop(task)
        if not task.cancelled():
            return
        if self._stopping:
            self._drop(held)
        else:
            # By itself or by another task, perhaps before its first step: a failure like any other.
            error = self._asyncio.CancelledError("the task was cancelled by a task")
            self._end(held, self._processor.failed(held.delivery, error), 0.0)

    def _end(self, held: HeldLease, outcome: Outcome, seconds: float) -> None:
        try:
            self._ended(held, outcome, seconds)
        except BaseException:  # the loop is shared
            logger.exception("the end of %s could not be recorded", held.delivery.id)

    def _end_the_rest(self) -> None:
        """The loop is gone: closed by a task that shares it with others, or left before these had noticed."""
        for held in self._tasks.values():
            if self._stopping:
                self._drop(held)
                continue
            error = RuntimeError("its event loop was closed by a task")
            self._end(held, self._processor.failed(held.delivery, error), 0.0)

    def _drop(self, held: HeldLease) -> None:
        if self._dropped is not None:
            self._dropped(held)

    def _cancel(self) -> None:
        self._stopping = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()

        async def leave() -> None:
            try:
                await self._asyncio.gather(*tasks, return_exceptions=True)
                await end(self._loop)
                await self._loop.shutdown_asyncgens()
            finally:
                self._left = True
                self._loop.stop()

        self._leaving = self._loop.create_task(leave())
