"""`Poller`: one thread that receives from one queue."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import PullDriver
from cloudq.errors import CloudqError
from cloudq.running.backoff import Backoff
from cloudq.running.held import HeldLease
from cloudq.worker.intake import Intake
from cloudq.worker.leases import LeaseKeeper

logger = logging.getLogger("cloudq.worker")

FIRST_PAUSE: Final = timedelta(milliseconds=500)
LONGEST_PAUSE: Final = timedelta(seconds=30)
# A poll that comes back with nothing, so much earlier than asked for, would spin.
SUSPICIOUSLY_FAST: Final = timedelta(milliseconds=10)
PAUSE_AFTER_FAST: Final = timedelta(milliseconds=100)
ZERO: Final = timedelta(0)


class Poller:
    """Asks for as much as the intake wants, as long as it wants it. A failing backend is asked for ever, ever slower.

    Args:
        queue: The queue to receive from.
        driver: The backend.
        intake: Says how many to ask for, and takes what comes.
        keeper: Keeps the leases from the arrival on.
        arrived: Called when something new waits.
        release: Gives back at once what nobody wants any more.
        wait: How long a poll waits for a message.
        lease: How long a delivery is leased.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        queue: str,
        driver: PullDriver,
        *,
        intake: Intake,
        keeper: LeaseKeeper,
        arrived: Callable[[], None],
        release: Callable[[Sequence[HeldLease]], None],
        wait: timedelta,
        lease: timedelta,
        clock: Clock,
    ) -> None:
        self.queue = queue
        self._driver = driver
        self._intake = intake
        self._keeper = keeper
        self._arrived = arrived
        self._release = release
        self._wait = wait
        self._lease = lease
        self._clock = clock
        self._backoff = Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        self._changed = threading.Condition()
        # Guarded by the condition's lock.
        self._stopped = False
        self._abandoned = False
        self._polling_since: datetime | None = None
        self.down: Exception | None = None
        """Why the latest poll failed, or `None` if it worked."""
        self.reached = False
        """Whether a poll ever worked."""
        self._thread = threading.Thread(target=self._run, name=f"cloudq-poller-{queue}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the poll under way; interrupts a pause at once."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self, timeout: timedelta) -> bool:
        """Waits for the thread's end. Returns whether it came."""
        self._thread.join(max(0.0, timeout.total_seconds()))
        return not self._thread.is_alive()

    def overdue(self, now: datetime) -> timedelta:
        """How much longer than asked for the poll under way has taken; zero or less if there is none such."""
        with self._changed:
            return ZERO if self._polling_since is None else now - self._polling_since - self._wait

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def abandon(self) -> bool:
        """Gives up on a poll that doesn't return. Should it return after all, what it brings is released.

        Returns:
            `False` if it returned in the meantime: then it goes on.
        """
        with self._changed:
            if self._polling_since is None:
                return False
            self._abandoned = self._stopped = True
        self._intake.poll_failed(self.queue)
        return True

    def _run(self) -> None:
        while not self._stopped and (limit := self._intake.next_poll(self.queue)):
            self._poll(limit)

    def _poll(self, limit: int) -> None:
        began = self._clock.now()
        with self._changed:
            self._polling_since = began
        deliveries: Sequence[Delivery] = ()
        failure: Exception | None = None
        try:
            deliveries = self._driver.receive(self.queue, limit=limit, wait=self._wait, lease=self._lease)
        except Exception as error:  # noqa: BLE001 - an SDK may raise anything, and the worker outlives all of it
            failure = error
        with self._changed:
            #   this thread   receive ............................ returns late ─▶ abandoned? release it all
            #   watchdog                    abandon() ─▶ a new poller asks for the same slots
            # Both under this lock: either the watchdog sees that the poll is over, or the poll that it is abandoned.
            self._polling_since = None
            abandoned = self._abandoned
        held = self._keeper.attach(deliveries) if deliveries else []
        if abandoned:
            self._intake.adopt(len(held))
            self._release(held)
            return
        if failure is not None:
            self._intake.poll_failed(self.queue)
            self._went_down(failure)
            self._pause(self._backoff.next())
            return
        self._came_up()
        refused = self._intake.offer(self.queue, held)
        if refused:
            self._release(refused)
        elif held:
            self._arrived()
        if not held and self._wait and self._clock.now() - began < min(SUSPICIOUSLY_FAST, self._wait / 2):
            self._pause(PAUSE_AFTER_FAST)

    def _pause(self, pause: timedelta) -> None:
        until = self._clock.now() + pause
        with self._changed:
            while not self._stopped and (left := until - self._clock.now()) > ZERO:
                self._clock.wait(self._changed, left)

    def _went_down(self, error: Exception) -> None:
        known, self.down = self.down, error
        if known is not None:
            return
        # What isn't ours is a surprise worth a traceback.
        surprise = None if isinstance(error, CloudqError) else error
        hint = f"; {error.hint}" if isinstance(error, CloudqError) and error.hint else ""
        logger.error(
            "queue %s can't be received from, trying again until it can: %s%s",
            self.queue,
            error,
            hint,
            exc_info=surprise,
            extra={"cloudq_queue": self.queue},
        )

    def _came_up(self) -> None:
        self.reached = True
        if self.down is None:
            return
        self.down = None
        self._backoff.reset()
        logger.info("queue %s can be received from again", self.queue, extra={"cloudq_queue": self.queue})
