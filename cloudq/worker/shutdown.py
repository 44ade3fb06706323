"""`Shutdown`: from the first signal to the last settlement.

| phase | what is waited for | for how long |
|---|---|---|
| tasks | those that run | the grace |
| polls | those under way: they may still bring messages, which go back | the wait, and a little more |
| settlements | those that aren't confirmed | `settle_timeout`; 3 s after a second signal, or where a queue refuses |

All begin at the first signal: what waits in the worker goes back at once, and polls run out while tasks finish. A
second signal skips the first two phases. Polls are cut only where that strands no message
(`Capabilities.interruptible`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.driver import PullDriver
from cloudq.core.safe_log import SafeLogger
from cloudq.running.signals import Wish
from cloudq.worker.executors import Executor
from cloudq.worker.intake import Intake
from cloudq.worker.settings import WorkerSettings
from cloudq.worker.settler import Settler
from cloudq.worker.watchdog import Watchdog

logger = SafeLogger("cloudq.worker")

# How long settlements are awaited after a second signal; and, at any end, the return of what would lapse anyway.
AT_ONCE: Final = timedelta(seconds=3)
# A poll may return later than it was asked to by this much before the worker leaves without it.
POLL_MARGIN: Final = timedelta(seconds=2)
# After a second signal, a poll that can be cut has ended by then, or hangs.
CUT_WITHIN: Final = timedelta(seconds=1)
# Nothing announces the end of a poll.
POLL_ROUND: Final = timedelta(milliseconds=20)
# A wait that is over sooner than this isn't logged.
WORTH_A_LINE: Final = timedelta(milliseconds=250)
ROUND: Final = timedelta(seconds=1)
ZERO: Final = timedelta(0)


class Shutdown:
    """Ends a worker's work.

    Args:
        settings: The worker's.
        leases: How long the deliveries of each queue are leased.
        driver: The backend.
        intake: The worker's books.
        watchdog: The pollers.
        executor: What runs the tasks.
        settler: Carries out what became of them.
        next_wish: Waits for the next wish, at most for the time given.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        leases: Mapping[str, timedelta],
        *,
        driver: PullDriver,
        intake: Intake,
        watchdog: Watchdog,
        executor: Executor,
        settler: Settler,
        next_wish: Callable[[timedelta], Wish | None],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._leases = leases
        self._driver = driver
        self._intake = intake
        self._watchdog = watchdog
        self._executor = executor
        self._settler = settler
        self._next_wish = next_wish
        self._clock = clock
        self._leave_by: timedelta | None = None  # since a second signal
        # One driver: what holds for one of its queues holds for the receives of all.
        self._interruptible = all(driver.capabilities(queue).interruptible for queue in leases)

    def run(self, give_back: Callable[[], None]) -> None:
        """Goes through the phases.

        Args:
            give_back: Closes the intake and gives back what wasn't started.
        """
        hand = self._intake.in_hand()
        _log(logging.INFO, "stopping: %d tasks are running, %d go back to their queues", hand.running, hand.waiting)
        give_back()
        self._watchdog.stop()
        if self._interruptible:
            self._driver.interrupt()
        began = self._clock.elapsed()
        hurry = self._await_tasks(began + self._settings.grace) or self._await_polls(
            began + self._settings.poll_wait + POLL_MARGIN
        )
        if hurry:
            self._hurry()
        self._leave_polls()
        left = self._intake.give_up_running()
        if left:
            _log(logging.WARNING, "%d tasks didn't finish in time; they are released and run again", len(left))
        # Tell the handlers, and end what can be ended, before the messages are released for others to run.
        for held in left:
            held.lost.set()
        self._executor.stop()
        self._settler.release(left, counted=True)
        self._await_settled(AT_ONCE if hurry else self._settings.settle_timeout)

    def patience(self) -> timedelta:
        """How long may still be waited, after these phases, for what is no loss if it doesn't happen."""
        return AT_ONCE if self._leave_by is None else max(ZERO, self._leave_by - self._clock.elapsed())

    def _hurry(self) -> None:
        self._leave_by = self._clock.elapsed() + AT_ONCE

    def _await_tasks(self, until: timedelta) -> bool:
        """Waits for the running tasks. Returns whether a second signal came."""
        running = self._intake.in_hand().running
        if running and self._settings.grace:
            _log(
                logging.INFO,
                "waiting for %d tasks, at most %.0f s; a second signal leaves at once",
                running,
                self._settings.grace.total_seconds(),
            )
        while self._intake.in_hand().running and (left := until - self._clock.elapsed()) > ZERO:
            if self._next_wish(min(left, ROUND)) is Wish.STOP:
                return True
        return False

    def _await_polls(self, until: timedelta) -> bool:
        """Waits for the polls under way. Returns whether a second signal came."""
        # Messages that a poll brings after the worker has left would be hidden from every worker for a whole lease.
        began, said = self._clock.elapsed(), False
        while (queues := self._intake.polled()) and (left := until - self._clock.elapsed()) > ZERO:
            if self._interruptible:
                # Again and again: a poll that was only about to begin isn't ended by the first.
                self._driver.interrupt()
            if not said and self._clock.elapsed() - began >= WORTH_A_LINE:
                said = True
                _log(
                    logging.INFO,
                    "waiting for the polls of %s, at most %.0f s: they may still bring messages, which go back; "
                    "a second signal leaves at once",
                    ", ".join(queues),
                    left.total_seconds(),
                )
            if self._next_wish(POLL_ROUND) is Wish.STOP:
                return True
        return False

    def _leave_polls(self) -> None:
        """Leaves polls that are still under way, and says what that may hide."""
        if self._interruptible:
            self._cut_polls()
            return
        queues = self._intake.polled()
        if queues:
            self._driver.interrupt()
        for queue in queues:
            until = self._clock.now() + self._leases[queue]
            _log(
                logging.WARNING,
                "leaving in the middle of a poll of queue %s: what it was about to bring is hidden from every worker, "
                "until %s at the latest",
                queue,
                until.isoformat(timespec="seconds"),
                extra={"cloudq_queue": queue},
            )

    def _cut_polls(self) -> None:
        """Ends the polls under way: one that was only about to begin would receive what is released next."""
        until = self._clock.elapsed() + CUT_WITHIN
        while self._intake.polled() and self._clock.elapsed() < until:
            self._driver.interrupt()
            self._next_wish(POLL_ROUND)

    def _await_settled(self, patience: timedelta) -> None:
        said = False
        self._settler.shut_down()
        until = self._clock.elapsed() + patience
        while (hand := self._intake.in_hand()).settling and (left := until - self._clock.elapsed()) > ZERO:
            if self._next_wish(min(left, ROUND)) is Wish.STOP:
                self._hurry()
                until = min(until, self._clock.elapsed() + AT_ONCE)
            self._settler.catch_up()
            if not said and patience - left >= WORTH_A_LINE:
                said = True
                _log(logging.INFO, "waiting for %d settlements, at most %.0f s", hand.settling, left.total_seconds())
        if hand.settling:
            _log(logging.ERROR, "%d settlements were not confirmed; those tasks may run a second time", hand.settling)


def _log(level: int, text: str, *args: object, extra: Mapping[str, object] | None = None) -> None:
    logger.log(level, text, *args, extra=extra)
