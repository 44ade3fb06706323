"""`AwaitedRuns`: runs deliveries whose end somebody waits for: here, or on a loop."""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.outcome import Acked, Outcome
from cloudq.core.processor import Processor
from cloudq.core.safe_log import is_ctrl_c
from cloudq.running.end_log import log_verdict
from cloudq.running.event_loop import LazyLoop
from cloudq.running.held import HeldLease
from cloudq.running.runs import Runs
from cloudq.tasks.context import Context

FORKED: Final = 70  # EX_SOFTWARE, for a fork that a task forgot to end


class AwaitedRun(HeldLease):
    """A delivery in hand.

    Attributes:
        arrived: Set once its task has ended, or it is given up.
        outcome: What became of it, or `None` where it was given up.
        seconds: For how long it ran.
        came_again: Whether its message was handed over again, so that its lease is over.
        left: Told, once its task runs no more, whether it succeeded. One that was given up may go on until then.
    """

    __slots__ = ("_pid", "arrived", "came_again", "left", "outcome", "seconds")

    def __init__(self, delivery: Delivery, clock: Clock, *, until: timedelta | None = None) -> None:
        super().__init__(delivery, clock.elapsed(), extendable=False)
        self.until = until
        self.arrived = threading.Event()
        self.outcome: Outcome | None = None
        self.seconds = 0.0
        self.came_again = False
        self.left: Callable[[bool], None] | None = None
        self._pid = os.getpid()

    def end(self, outcome: Outcome, seconds: float) -> None:
        """Keeps what became of its task, and wakes the one that waits for it."""
        if os.getpid() != self._pid:
            # A task forked and came back from both: the rest of the batch is the other's.
            os._exit(FORKED)
        self.outcome, self.seconds = outcome, seconds
        self.leave(succeeded=isinstance(outcome, Acked))
        self.arrived.set()

    def leave(self, *, succeeded: bool) -> None:
        """Notes that its task runs no more, with an outcome or without."""
        left, self.left = self.left, None
        if left is not None:
            left(succeeded)

    def give_up(self) -> None:
        """Gives it up: nobody waits for it any more, and the handler can see that."""
        self.lost.set()
        self.arrived.set()


class AwaitedRuns:
    """Runs them: plain tasks in the thread that asks, async ones on one event loop. Thread-safe.

    Args:
        processor: Turns deliveries into outcomes.
        runs: The registry of this process's runs.
    """

    def __init__(self, processor: Processor[Context], runs: Runs) -> None:
        self._processor = processor
        self._runs = runs
        self._loop = LazyLoop(processor, _end, _drop)

    def is_async(self, delivery: Delivery) -> bool:
        """Whether its task is a coroutine function."""
        handler = self._processor.handler_for(delivery)
        return handler is not None and handler.is_async

    def run(self, run: AwaitedRun) -> None:
        """Runs a delivery's task to its end, or until it is given up; see `AwaitedRun.outcome`."""
        verdict = self._runs.verdict(run.delivery)
        if verdict is not None:
            log_verdict(run.delivery, verdict)
            run.end(verdict, 0.0)
        elif self.is_async(run.delivery):
            self._loop.run(run)
        else:
            began = time.monotonic()
            # Each task has a copy of the caller's context, so that its variables don't leak into the next one.
            outcome = contextvars.copy_context().run(self._process, run)
            # If the task forked and came back from both, the other process ends here.
            run.end(outcome, time.monotonic() - began)
        run.arrived.wait()

    def leave(self) -> None:
        """Leaves behind the loop, which a task blocks: the next async one has another."""
        self._loop.leave()

    def stop(self) -> None:
        """Ends the loop."""
        self._loop.stop()

    def _process(self, run: AwaitedRun) -> Outcome:
        try:
            return self._processor.process(run.delivery, lease_lost=run.lost, until=run.until)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            return self._processor.failed(run.delivery, error)


def _end(held: HeldLease, outcome: Outcome, seconds: float) -> None:
    held.end(outcome, seconds)  # type: ignore[attr-defined]  # only what `run` was given comes back


def _drop(held: HeldLease) -> None:
    held.leave(succeeded=False)  # type: ignore[attr-defined]  # as above
    held.arrived.set()  # type: ignore[attr-defined]  # else who waits for it would wait forever
