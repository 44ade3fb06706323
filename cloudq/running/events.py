"""What a worker tells about itself while it works: one event a finished task, and a snapshot of the counts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import msgspec

from cloudq.core.delivery import Delivery
from cloudq.core.outcome import Acked, Outcome, Retried, Snoozed
from cloudq.core.printable import NAME_CHARS, shortened
from cloudq.core.safe_log import SafeLogger, is_ctrl_c
from cloudq.running.log_fields import fields

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
    """A worker's counts at one moment.

    Attributes:
        started: Deliveries started so far.
        acked: Ended well.
        retried: To be handed over again, as they failed.
        snoozed: To be handed over again, as they only wait: no attempt is used up.
        dead_lettered: Kept in the dead-letter queue.
        lease_lost: Leases that were over before their end was recorded.
        pollers_replaced: Polls that never came back.
        children_died: Child processes that ended before their task did.
        waiting: Received and not started.
        running: Started and not ended.
        settling: Ended and not confirmed.
    """

    started: int = 0
    acked: int = 0
    retried: int = 0
    snoozed: int = 0
    dead_lettered: int = 0
    lease_lost: int = 0
    pollers_replaced: int = 0
    children_died: int = 0
    waiting: int = 0
    running: int = 0
    settling: int = 0


class Tally:
    """Counts the ends of tasks, logs them, and passes them on. Thread-safe.

    Args:
        on_event: Called for each, in the thread that ran the task; it should be quick.
    """

    def __init__(self, on_event: Callable[[Finished], None] | None = None) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()
        self.acked = 0
        self.retried = 0
        self.snoozed = 0
        self.dead_lettered = 0

    def count(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """Counts one, logs it, and calls `on_event`."""
        with self._lock:
            if isinstance(outcome, Acked):
                self.acked += 1
            elif isinstance(outcome, Snoozed) or (isinstance(outcome, Retried) and not outcome.counted):
                self.snoozed += 1
            elif isinstance(outcome, Retried):
                self.retried += 1
            else:
                self.dead_lettered += 1
        _log(delivery, outcome, seconds)
        if self._on_event is None:
            return
        try:
            self._on_event(Finished(delivery=delivery, outcome=outcome, seconds=seconds))
        except BaseException as error:
            # A slip in a progress display, be it sys.exit, must not end the thread that runs the tasks.
            if is_ctrl_c(error):
                raise
            logger.exception("on_event failed")


def _log(delivery: Delivery, outcome: Outcome, seconds: float) -> None:
    if isinstance(outcome, Acked):
        level, said = logging.DEBUG, "done"
    elif isinstance(outcome, (Retried, Snoozed)):
        # What only waits for its time is no news.
        level = logging.WARNING if outcome.counted else logging.DEBUG
        said = f"again in {outcome.delay.total_seconds():.1f} s: {outcome.reason}"
    else:
        level, said = logging.ERROR, f"dead-lettered: {outcome.reason}"
    if not logger.enabled_for(level):
        return
    task = shortened(delivery.message.task, NAME_CHARS) if delivery.message else "undecodable"
    logger.log(
        level,
        "%s %s (attempt %d, %.3f s) %s",
        task,
        shortened(delivery.id, NAME_CHARS),
        delivery.attempt,
        seconds,
        said,
        extra=fields(
            delivery,
            outcome=type(outcome).__name__.lower(),
            seconds=round(seconds, 6),
            **({"why": outcome.why.value} if isinstance(outcome, Snoozed) else {}),
        ),
    )
