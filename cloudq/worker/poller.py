"""`Poller`: receives from one queue; in one thread, and where one poll brings too little, in more beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import PullDriver
from cloudq.core.observing import Observer
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.errors import CloudqError, QueuePaused
from cloudq.running.backoff import Backoff
from cloudq.running.held import HeldLease
from cloudq.worker.intake import Intake
from cloudq.worker.leases import LeaseKeeper
from cloudq.worker.open_polls import Poll
from cloudq.worker.strangers import Strangers

logger = SafeLogger("cloudq.worker")

FIRST_PAUSE: Final = timedelta(milliseconds=500)
LONGEST_PAUSE: Final = timedelta(seconds=30)
# After a poll that ended early with nothing, or had no wait: it would spin. A burst's intake waits for what may come.
PAUSE_AFTER_FAST: Final = timedelta(milliseconds=100)
# Between two polls of a queue that somebody has paused. On Service Bus each opens a link, which is refused.
PAUSED: Final = timedelta(seconds=5)
# A wait doesn't notice that the machine was suspended (see `Clock.wait`), so pauses are waited for in slices.
SLICE: Final = timedelta(seconds=1)
# A thread for polls beside the own one ends after this without one.
BESIDE_IDLE: Final = timedelta(seconds=5)
ZERO: Final = timedelta(0)


class Poller:
    """Receives as many as the intake wants. Retries a failing backend forever, with growing back-off.

    Its own thread polls always, waits for messages where there are none, and tells whether the queue can be received
    from. Where the intake wants more than one poll under way, others are made beside it: those never wait, and end at
    the first failure without a word, as the own one meets the same.

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
        most: The most polls at once.
        lease: How long a delivery is leased.
        clock: Where the time comes from.
        refuse_paused: Called before each receive, and raises `QueuePaused` where the queue is paused by other means
            than the backend's own.
        observer: Told when the queue is paused, and when it is resumed.
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
        most: int = 1,
        refuse_paused: Callable[[], None] | None = None,
        observer: Observer | None = None,
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
        self._refuse_paused = refuse_paused
        self._observer = observer
        self._backoff = Backoff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        self._changed = threading.Condition()
        # Guarded by the condition's lock.
        self._stopped = False
        self._open: dict[Poll, timedelta] = {}  # the receives under way, and when they began
        self._own: Poll | None = None  # the own thread's latest
        self.down: BaseException | None = None
        """Why the latest poll failed, or `None` if it worked."""
        self._down_since = ZERO
        self._told: set[type[BaseException]] = set()  # which kinds of failures were logged since one worked
        self.reached = False
        """Whether a poll ever worked."""
        self.paused = False
        """Whether somebody has paused the queue, as the latest poll found."""
        self._thread = threading.Thread(target=self._run, name=f"cloudq-poller-{queue}", daemon=True)
        self._beside = Threads(f"cloudq-poller-{queue}-beside", max(1, most - 1), clock=clock, idle=BESIDE_IDLE)

    def start(self) -> None:
        """Starts the thread.

        Raises:
            RuntimeError: No thread can be started.
        """
        self._thread.start()

    def stop(self) -> None:
        """Ends its threads after the polls under way; interrupts a pause at once."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._beside.close()

    def overdue(self, now: timedelta) -> timedelta:
        """How much longer than asked for the own poll under way has taken; zero or less if there is none such.

        Args:
            now: `Clock.elapsed`.
        """
        with self._changed:
            since = self._open.get(self._own) if self._own else None
            return ZERO if since is None else now - since - self._wait

    @property
    def alive(self) -> bool:
        """Whether its own thread runs."""
        return self._thread.is_alive()

    def abandon(self) -> bool:
        """Gives up on polls that don't return, and stops. Should they return after all, what they bring is given back.

        Returns:
            `False` if the own one returned in the meantime: then it goes on.
        """
        with self._changed:
            if self.alive and self._own not in self._open:
                return False
            self._stopped = True
            left = list(self._open)
            self._open.clear()
        self._leave(left)
        self._beside.close()
        return bool(left)

    def abandon_beside(self, before: timedelta) -> int:
        """As `abandon`, for the polls beside the own one that began before then. Returns how many."""
        with self._changed:
            late = [poll for poll, since in self._open.items() if poll.beside and since < before]
            for poll in late:
                del self._open[poll]
        self._leave(late)
        return len(late)

    def _leave(self, polls: Iterable[Poll]) -> None:
        for poll in polls:
            self._intake.drop_poll(poll)

    # ── its own thread ───────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while not self._stopped:
            try:
                self._pause(self.strangers.rest())
                self._own = self._intake.next_poll(self.queue)
                if self._own is None:
                    return
                if self.strangers.ends_burst:
                    self._intake.offer(self._own, [])  # as if it were empty
                else:
                    self._widen()
                    self._poll(self._own)
            except BaseException as error:  # noqa: BLE001 - whatever it is, its queue is to be polled on
                self._recover(error)

    def _recover(self, error: BaseException) -> None:
        """Goes on after an unexpected exception. What was received goes back, or comes again, unless in hand."""
        self._forget(self._own)
        logger.error(
            "the poller of queue %s hit an internal error, and goes on",
            self.queue,
            exc_info=error,
            extra={"cloudq_queue": self.queue},
        )
        self._pause(FIRST_PAUSE)

    def _poll(self, poll: Poll) -> None:
        began = self._clock.elapsed()
        held, failure = self._receive(poll, self._wait)
        if isinstance(failure, QueuePaused):
            self._note_paused()
            self._pause(PAUSED)
        elif failure is not None:
            self._went_down(failure)
            self._pause(self._backoff.next())
        elif held is not None:
            self._came_up()
            self._take_in(poll, held)
            took = self._clock.elapsed() - began  # a wait of less than a second is none on SQS, where each poll is paid
            if not held and not self.strangers.burst and took < (self._wait / 2 or PAUSE_AFTER_FAST):
                self._pause(max(PAUSE_AFTER_FAST, self._wait - took if self._wait < SLICE else ZERO))

    # ── threads beside it ────────────────────────────────────────────────────────────────────────────────

    def _widen(self) -> None:
        """Begins more polls beside those under way, as many as the intake wants."""
        while (poll := self._next_beside()) is not None:
            if not self._beside.start(partial(self._poll_beside, poll)):
                self._intake.drop_poll(poll)  # no thread for it, or the worker stops
                return

    def _poll_beside(self, poll: Poll | None) -> None:
        while poll is not None:
            try:
                held, failure = self._receive(poll, ZERO)
                if held is not None:
                    self._take_in(poll, held)
            finally:
                self._forget(poll)  # nothing, unless that raised
            if failure is not None:
                logger.debug("a poll beside the one of queue %s failed, and ends: %s", self.queue, failure)
                return
            poll = self._next_beside()
            self._widen()

    def _next_beside(self) -> Poll | None:
        if self._stopped or self.strangers.hold_back:
            return None
        return self._intake.poll_beside(self.queue)

    # ── either ───────────────────────────────────────────────────────────────────────────────────────────

    def _receive(self, poll: Poll, wait: timedelta) -> tuple[list[HeldLease] | None, BaseException | None]:
        """Returns what it brought, or why it failed; neither if it was abandoned meanwhile."""
        with self._changed:
            self._open[poll] = self._clock.elapsed()
        limit = self.strangers.limit(poll.limit)
        deliveries: Sequence[Delivery] = ()
        failure: BaseException | None = None
        try:
            if self._refuse_paused is not None:
                self._refuse_paused()
            deliveries = self._driver.receive(self.queue, limit=limit, wait=wait, lease=self._lease)
        except BaseException as error:  # noqa: BLE001 - an SDK may raise anything, and the worker outlives all of it
            failure = error
        with self._changed:
            #   this thread   receive ............................ returns late ─▶ abandoned? give it all back
            #   watchdog                    abandon() ─▶ a new poller asks for the same slots
            # Both under this lock: either the watchdog sees that the poll is over, or the poll that it is abandoned.
            abandoned = self._open.pop(poll, None) is None
        held = self._keeper.attach(deliveries) if deliveries else []
        if abandoned:
            self._intake.adopt(held)
            self._give_back(held)
            return None, None
        if isinstance(failure, QueuePaused):
            self._intake.offer(poll, [])  # as if it were empty: a burst isn't to wait for a resume
            return None, failure
        if failure is not None:
            self._intake.drop_poll(poll)
            return None, failure
        return held, None

    def _take_in(self, poll: Poll, held: Sequence[HeldLease]) -> None:
        try:
            self.strangers.note([one.delivery for one in held])
            refused = self._intake.offer(poll, held)
        except BaseException:
            # Nobody else knows of them, so that their leases would be extended forever.
            self._intake.adopt(held)
            self._give_back(held)
            raise
        if refused:
            self._give_back(refused)
        elif held:
            self._arrived()

    def _forget(self, poll: Poll | None) -> None:
        """Has nobody wait for a poll that is over."""
        if poll is None:
            return
        with self._changed:
            self._open.pop(poll, None)
        self._intake.drop_poll(poll)

    def _pause(self, pause: timedelta) -> None:
        until = self._clock.elapsed() + pause
        with self._changed:
            while not self._stopped and (left := until - self._clock.elapsed()) > ZERO:
                self._clock.wait(self._changed, min(left, SLICE))

    def _went_down(self, error: BaseException) -> None:
        if self.down is None:
            self._down_since = self._clock.elapsed()
        self.down = error
        if type(error) in self._told:
            return
        self._told.add(type(error))
        logger.error(
            "queue %s can't be received from, trying again until it can: %s",
            self.queue,
            error,
            exc_info=None if isinstance(error, CloudqError) else error,  # what isn't one of cloudq's is unexpected
            extra={"cloudq_queue": self.queue},
        )

    def _note_paused(self) -> None:
        """Nothing is wrong with the backend, which answers."""
        self._answered()
        if not self.paused:
            self.paused = True
            self._tell_paused("queue %s is paused: nothing of it is received until `cloudq resume %s`", self.queue)

    def _came_up(self) -> None:
        self._answered()
        if self.paused:
            self.paused = False
            self._tell_paused("queue %s is resumed")

    def _tell_paused(self, text: str, *more: str) -> None:
        logger.info(text, self.queue, *more, extra={"cloudq_queue": self.queue})
        if self._observer is not None:
            self._observer.held_back(self.queue, "paused" if self.paused else None)

    def _answered(self) -> None:
        self.reached = True
        if self.down is None:
            return
        self.down = None
        self._told.clear()
        self._backoff.reset()
        logger.info(
            "queue %s can be received from again, after %.0f s",
            self.queue,
            (self._clock.elapsed() - self._down_since).total_seconds(),
            extra={"cloudq_queue": self.queue},
        )
