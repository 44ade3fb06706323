"""What a worker tells about itself while it works: one event a finished task, and a snapshot of the counts."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.delivery import Delivery
from cloudq.core.ending import Ending
from cloudq.core.observing import Observer, age_at
from cloudq.core.outcome import Outcome, ending_of
from cloudq.core.safe_log import SafeLogger, is_ctrl_c

logger = SafeLogger("cloudq.worker")


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A task has ended; its settlement is under way.

    Attributes:
        delivery: What was worked on.
        outcome: What becomes of it.
        seconds: For how long it ran.
    """

    delivery: Delivery
    outcome: Outcome
    seconds: float


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's counts at one moment. How deliveries ended is in the words of `Ending`.

    Attributes:
        started: Deliveries started so far.
        succeeded: Their tasks returned.
        retried: To be handed over again, as they failed.
        snoozed: To be handed over again, as they only wait: no attempt is used up.
        dead_lettered: Kept in the dead-letter queue.
        expired: Acknowledged unrun, as their time was over.
        duplicate: Acknowledged unrun, as their work was done before.
        cancelled: Acknowledged without success, as somebody wanted that.
        lease_lost: Leases that were over before their end was recorded.
        released: Given back unfinished, mostly unstarted.
        pollers_replaced: Polls that never came back.
        children_died: Child processes that ended before their task did.
        waiting: Received and not started.
        running: Started and not ended.
        settling: Ended and not confirmed.
    """

    started: int = 0
    succeeded: int = 0
    retried: int = 0
    snoozed: int = 0
    dead_lettered: int = 0
    expired: int = 0
    duplicate: int = 0
    cancelled: int = 0
    lease_lost: int = 0
    released: int = 0
    pollers_replaced: int = 0
    children_died: int = 0
    waiting: int = 0
    running: int = 0
    settling: int = 0


class Tally:
    """Counts the ends of tasks, and passes them on. Thread-safe.

    Args:
        on_event: Called for each, in the thread that ran the task; it should be quick.
        observer: Told of each, and of each start; `None`: nobody is.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        on_event: Callable[[Finished], None] | None = None,
        *,
        observer: Observer | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._on_event = on_event
        self._observer = observer
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[Ending, int] = {}

    def note(self, ending: Ending, count: int = 1) -> None:
        """Counts ends of which there is nothing else to say."""
        with self._lock:
            self._counts[ending] = self._counts.get(ending, 0) + count

    def counts(self) -> dict[str, int]:
        """How many there were of each, by its word, for a `Snapshot`."""
        with self._lock:
            return {ending.value: count for ending, count in self._counts.items()}

    def begin(self, delivery: Delivery) -> None:
        """Tells that a delivery is worked on from now on: `count` or `give_up` follows."""
        if self._observer is not None:
            self._observer.started(delivery, age_at(delivery, self._clock.now()))

    def give_up(self, delivery: Delivery) -> None:
        """Tells that the end of one that has begun counts for nothing: somebody else has it, or will."""
        if self._observer is not None:
            self._observer.ended(delivery, Ending.RELEASED, None)

    def note_unrun(self, delivery: Delivery, ending: Ending) -> None:
        """Counts one that has ended without having begun here."""
        self.note(ending)
        if self._observer is not None:
            self._observer.unrun(delivery, ending)

    def count(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """Counts one, tells of it, and calls `on_event`."""
        ending = ending_of(outcome)
        self.note(ending)
        if self._observer is not None:
            self._observer.ended(delivery, ending, seconds)
        if self._on_event is None:
            return
        try:
            self._on_event(Finished(delivery=delivery, outcome=outcome, seconds=seconds))
        except BaseException as error:
            # A slip in a progress display, be it sys.exit, must not end the thread that runs the tasks.
            if is_ctrl_c(error):
                raise
            logger.exception("on_event failed")
