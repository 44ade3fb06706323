"""`Poller`: one thread that receives from one queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import PullDriver
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import CloudqError
from cloudq.running.backoff import Backoff
from cloudq.running.held import HeldLease
from cloudq.worker.intake import Intake
from cloudq.worker.leases import LeaseKeeper
from cloudq.worker.strangers import Strangers

logger = SafeLogger("cloudq.worker")

FIRST_PAUSE: Final = timedelta(milliseconds=500)
LONGEST_PAUSE: Final = timedelta(seconds=30)
# A poll that comes back with nothing, in less than this, would spin.
SUSPICIOUSLY_FAST: Final = timedelta(milliseconds=10)
PAUSE_AFTER_FAST: Final = timedelta(milliseconds=100)
# A wait doesn't notice that the machine was suspended (see `Clock.wait`), so pauses are waited for in slices.
SLICE: Final = timedelta(seconds=1)
ZERO: Final = timedelta(0)


class Poller:
    """Receives as many as the intake wants. Retries a failing backend forever, with growing back-off.

    Nothing that the backend, a logging filter or the executor raises ends it; where it can't go on (no thread can be
    started), the watchdog replaces it.

    Args:
        queue: The queue to receive from.
        driver: The backend.
        intake: Says how many to ask for, and takes what a poll brings.
        keeper: Keeps the leases from the arrival on.
        arrived: Called when something new waits.
        give_back: Gives back at once what isn't wanted any more.
        strangers: What is known of the queue's messages of unknown tasks.
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
        give_back: Callable[[Sequence[HeldLease]], None],
        strangers: Strangers,
        wait: timedelta,
        lease: timedelta,
        clock: Clock,
    ) -> None:
        self.queue = queue
        self._driver = driver
        self._intake = intake
        self._keeper = keeper
        self._arrived = arrived
        self._give_back = give_back
        self.strangers = strangers
        self._wait = wait
        self._lease = lease
        self._clock = clock
        self._backoff = Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        self._changed = threading.Condition()
        # Guarded by the condition's lock.
        self._stopped = False
        self._abandoned = False
        self._polling_since: timedelta | None = None
        self.down: BaseException | None = None
        """Why the latest poll failed, or `None` if it worked."""
        self._told: set[type[BaseException]] = set()  # which kinds of failures were logged since one worked
        self.reached = False
        """Whether a poll ever worked."""
        self._thread = threading.Thread(target=self._run, name=f"cloudq-poller-{queue}", daemon=True)

    def start(self) -> None:
        """Starts the thread.

        Raises:
            RuntimeError: No thread can be started.
        """
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the poll under way; interrupts a pause at once."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def overdue(self, now: timedelta) -> timedelta:
        """How much longer than asked for the poll under way has taken; zero or less if there is none such.

        Args:
            now: `Clock.elapsed`.
        """
        with self._changed:
            return ZERO if self._polling_since is None else now - self._polling_since - self._wait

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def abandon(self) -> bool:
        """Gives up on a poll that doesn't return. Should it return after all, what it brings is given back.

        Returns:
            `False` if it returned in the meantime: then it goes on.
        """
        with self._changed:
            if self._polling_since is None:
                return False
            self._abandoned = self._stopped = True
        self._intake.drop_poll(self.queue)
        return True

    def _run(self) -> None:
        while not self._stopped:
            try:
                self._pause(self.strangers.rest())
                limit = self._intake.next_poll(self.queue)
                if not limit:
                    return
                if self.strangers.ends_burst:
                    self._intake.offer(self.queue, [])  # as if it were empty
                else:
                    self._poll(self.strangers.limit(limit))
            except BaseException as error:  # noqa: BLE001 - whatever it is, its queue is to be polled on
                self._recover(error)

    def _recover(self, error: BaseException) -> None:
        """Goes on after an unexpected exception. Deliveries that were received and not kept come back."""
        with self._changed:
            self._polling_since = None
        self._intake.drop_poll(self.queue)
        logger.error(
            "the poller of queue %s hit an internal error, and goes on",
            self.queue,
            exc_info=error,
            extra={"cloudq_queue": self.queue},
        )
        self._pause(FIRST_PAUSE)

    def _poll(self, limit: int) -> None:
        began = self._clock.elapsed()
        with self._changed:
            self._polling_since = began
        deliveries: Sequence[Delivery] = ()
        failure: BaseException | None = None
        try:
            deliveries = self._driver.receive(self.queue, limit=limit, wait=self._wait, lease=self._lease)
        except BaseException as error:  # noqa: BLE001 - an SDK may raise anything, and the worker outlives all of it
            failure = error
        with self._changed:
            #   this thread   receive ............................ returns late ─▶ abandoned? give it all back
            #   watchdog                    abandon() ─▶ a new poller asks for the same slots
            # Both under this lock: either the watchdog sees that the poll is over, or the poll that it is abandoned.
            self._polling_since = None
            abandoned = self._abandoned
        held = self._keeper.attach(deliveries) if deliveries else []
        if abandoned:
            self._intake.adopt(held)
            self._give_back(held)
            return
        if failure is not None:
            self._intake.drop_poll(self.queue)
            self._went_down(failure)
            self._pause(self._backoff.next())
            return
        self._came_up()
        self.strangers.note(deliveries)
        refused = self._intake.offer(self.queue, held)
        if refused:
            self._give_back(refused)
        elif held:
            self._arrived()
        if not held and self._wait and self._clock.elapsed() - began < min(SUSPICIOUSLY_FAST, self._wait / 2):
            self._pause(PAUSE_AFTER_FAST)

    def _pause(self, pause: timedelta) -> None:
        until = self._clock.elapsed() + pause
        with self._changed:
            while not self._stopped and (left := until - self._clock.elapsed()) > ZERO:
                self._clock.wait(self._changed, min(left, SLICE))

    def _went_down(self, error: BaseException) -> None:
        self.down = error
        if type(error) in self._told:
            return
        self._told.add(type(error))
        # An exception that isn't one of cloudq's is unexpected, and worth a traceback.
        surprise = None if isinstance(error, CloudqError) else error
        logger.error(
            "queue %s can't be received from, trying again until it can: %s",
            self.queue,
            error,
            exc_info=surprise,
            extra={"cloudq_queue": self.queue},
        )

    def _came_up(self) -> None:
        self.reached = True
        if self.down is None:
            return
        self.down = None
        self._told.clear()
        self._backoff.reset()
        logger.info(
            "queue %s can be received from again",
            self.queue,
            extra={"cloudq_queue": self.queue},
        )
