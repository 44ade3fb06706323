"""`Batch`: one invocation. Runs its messages, settles what the host can't, and says whether it may complete them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Final

from cloudq.core.driver import Ack, FinalStep, NativeDeadLetter, Release
from cloudq.core.driver import Final as FinalCall
from cloudq.core.outcome import Acked
from cloudq.core.safe_log import SafeLogger
from cloudq.drivers.service_bus.trigger import TriggerMessage, arrival
from cloudq.errors import BatchFailed, LeaseLost
from cloudq.queues.final_steps import final_steps
from cloudq.running.awaited_runs import AwaitedRun

if TYPE_CHECKING:
    from cloudq.azure_functions.edge import Edge

logger = SafeLogger("cloudq.azure_functions")

_ACK: Final = Ack()
_STAYS: Final = Release()


class Batch:
    """One invocation's messages.

    ```
     run all ─▶ copies of the retried stored ─▶ the dead dead-lettered, by token ─┬─ all well ─▶ return: host completes
                                                                                  └─ one stays ─▶ the others completed,
                                                                                      by token ─▶ raise: host abandons
    ```

    The host still tries to complete, or to abandon, messages dead-lettered here: their locks are gone by then, so
    that changes nothing, and the others are settled each by itself.

    Args:
        edge: The app, opened.
        messages: What the trigger passed: a message, or a list of them.
        concurrency: The most tasks that run at once.
        auto_complete: Whether the host completes the messages of an invocation that returns.

    Raises:
        PushRefused: One is no message of a Service Bus trigger. Nothing was run.
    """

    def __init__(
        self,
        edge: Edge,
        messages: TriggerMessage | Sequence[TriggerMessage],
        *,
        concurrency: int,
        auto_complete: bool,
    ) -> None:
        self._edge = edge
        self._auto_complete = auto_complete
        self._concurrency = concurrency
        # The host renews the lock of a single message, and none of a list.
        self._renewed = not isinstance(messages, Sequence)
        given = messages if isinstance(messages, Sequence) else [messages]
        now = edge.clock.now()
        elapsed = edge.clock.elapsed()
        self._arrivals = [
            arrival(message, edge.queue, now=now, elapsed=elapsed, renewed=self._renewed) for message in given
        ]
        self._running = [
            AwaitedRun(one.delivery, edge.clock, until=None if self._renewed else one.delivery.lease.ends)
            for one in self._arrivals
        ]
        self._lock = threading.Lock()

    def run(self) -> None:
        """Runs and settles them.

        Raises:
            BatchFailed: At least one stays in its queue.
        """
        self._run_all()
        steps = self._steps()
        self._dead_letter(steps)
        stay = sum(isinstance(step, Release) for step in steps)
        if not stay and self._auto_complete:
            return
        done = [place for place, step in enumerate(steps) if isinstance(step, Ack)]
        unsettled = self._settle(done, [_ACK] * len(done))
        if not self._auto_complete:
            stay += len(unsettled)  # the host doesn't complete them either
        if stay:
            raise BatchFailed(
                f"{stay} of {len(steps)} messages of queue {self._edge.queue!r} stay there and are handed over again",
                hint="the log says why: a copy could not be stored, or a lock was lost",
            )

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────

    def _run_all(self) -> None:
        waiting = iter(self._running)
        more = min(self._concurrency, len(self._running)) - 1
        threads = [
            # Within the invocation's context, in which a tracer has its span.
            threading.Thread(
                target=copy_context().run, args=(self._work, waiting), name=f"cloudq-task-{number + 1}", daemon=True
            )
            for number in range(more)
        ]
        started = 0
        with suppress(RuntimeError):  # no more threads can be started: those that are there do the work
            for thread in threads:
                thread.start()
                started += 1
        # In the thread that calls, too: what it logs the host shows with the invocation.
        self._work(waiting)
        for thread in threads[:started]:
            thread.join()

    def _work(self, waiting: Iterator[AwaitedRun]) -> None:
        while True:
            with self._lock:
                run = next(waiting, None)
            if run is None:
                return
            if self._over(run):
                run.give_up()
            else:
                self._edge.run(run)

    def _over(self, run: AwaitedRun) -> bool:
        """Whether its lock has ended, so that somebody else may have it."""
        return not self._renewed and run.over(self._edge.clock.elapsed())

    # ── settling ─────────────────────────────────────────────────────────────────────────────────────────

    def _steps(self) -> list[FinalStep]:
        """Stores the copies, and says which step is left for each message, in order; what stays is a `Release`."""
        steps: list[FinalStep] = [_ACK if isinstance(one.outcome, Acked) else _STAYS for one in self._running]
        failed = []
        for place, run in enumerate(self._running):
            if isinstance(run.outcome, Acked):
                continue
            if run.outcome is None or run.came_again or self._over(run):
                # The message comes back by itself: a copy beside it would add one more each time (semantics 10).
                logger.error("the lock of %s ended before its task had; it comes back", run.delivery.id)
            else:
                failed.append((place, run.delivery, run.outcome))
        if failed:
            planned = final_steps(
                self._edge.app.queue(self._edge.queue),
                [(delivery, outcome) for _, delivery, outcome in failed],
                self._edge.clock.now(),
                capabilities=self._edge.capabilities(),
            )
            for (place, _, _), step in zip(failed, planned, strict=True):
                steps[place] = step
        return steps

    def _dead_letter(self, steps: list[FinalStep]) -> None:
        """Dead-letters what is to be. What could not be stays."""
        dead = [place for place, step in enumerate(steps) if isinstance(step, NativeDeadLetter)]
        for place in self._settle(dead, [steps[place] for place in dead]):
            # Not even a lock that was lost may be taken for an end: the host's may hold, and it would complete.
            steps[place] = _STAYS
            run = self._running[place]
            if run.outcome is not None:
                self._edge.note_dead(run.delivery, run.outcome, _STAYS)

    def _settle(self, places: Sequence[int], steps: Sequence[FinalStep]) -> set[int]:
        """Settles messages by their locks' tokens. The places of those that are not."""
        if not places:
            return set()
        driver, queue = self._edge.driver, self._edge.queue
        most = driver.capabilities(queue).max_batch
        finals = [
            FinalCall(
                lease=driver.lease_by_token(
                    queue, self._arrivals[place].token, expires_at=self._running[place].expires_at
                ),
                step=step,
            )
            for place, step in zip(places, steps, strict=True)
        ]
        results = [
            result for start in range(0, len(finals), most) for result in driver.settle(finals[start : start + most])
        ]
        unsettled = set()
        for place, final, result in zip(places, finals, results, strict=True):
            if result.error is not None:
                unsettled.add(place)
                what = "completed" if isinstance(final.step, Ack) else "dead-lettered"
                level = logging.WARNING if isinstance(result.error, LeaseLost) else logging.ERROR
                logger.log(level, "%s could not be %s: %s", self._running[place].delivery.id, what, result.error)
        return unsettled
