"""`log_end`: the line that says what became of a delivery, with the traceback of what was raised.

It is written where the outcome is decided, in the process that ran the task, and within the delivery's fields: so the
exception itself is at hand for those that collect them, Sentry say, and nothing holds on to it afterwards.
"""

from __future__ import annotations

import logging
import time
from threading import Event
from typing import Final

from cloudq.core.delivery import Delivery
from cloudq.core.ending import Ending
from cloudq.core.outcome import Acked, DeadLettered, Expired, Outcome, Snoozed, ending_of
from cloudq.core.policy import Retry
from cloudq.core.run_fields import RunFields
from cloudq.core.safe_log import SafeLogger
from cloudq.running.log_fields import extra_of
from cloudq.tasks.hooks import Hooks

logger = SafeLogger("cloudq.worker")

# What only waits for its time is no news; nor is what is done.
_LEVELS: Final = {
    Ending.RETRIED: logging.WARNING,
    Ending.LEASE_LOST: logging.WARNING,
    Ending.DEAD_LETTERED: logging.ERROR,
    Ending.EXPIRED: logging.INFO,
}


def log_end(delivery: Delivery, outcome: Outcome, run: RunFields, lost: Event) -> None:
    """Writes the line. Never raises.

    Args:
        delivery: What was worked on.
        outcome: What is to become of it.
        run: Since when it was worked on, and what was raised.
        lost: Set where the lease was over by then: a failure counts for nothing then, as it is handed over again.
    """
    ending = ending_of(outcome)
    if lost.is_set() and not isinstance(outcome, Acked):
        ending = Ending.LEASE_LOST
    level = _LEVELS.get(ending, logging.DEBUG)
    if not logger.enabled_for(level):
        return
    said: str = ending.value
    if isinstance(outcome, DeadLettered) or ending is Ending.LEASE_LOST:
        said = f"{said}: {outcome.reason}"  # type: ignore[union-attr]  # what is acknowledged has lost nothing
    elif isinstance(outcome, Expired):
        said = outcome.reason
    elif not isinstance(outcome, Acked):
        said = f"{said}, again in {outcome.delay.total_seconds():.1f} s: {outcome.reason}"
    seconds = time.monotonic() - run.began
    logger.log(
        level,
        "%s %s (attempt %d, %.3f s) %s",
        run.get("task", "undecodable"),
        run["id"],
        delivery.attempt,
        seconds,
        said,
        exc_info=_went_wrong(run.error, ending) if level > logging.DEBUG else None,
        extra=extra_of(
            {
                **run,
                "outcome": ending.value,
                "seconds": round(seconds, 6),
                **({"why": outcome.why.value} if isinstance(outcome, Snoozed) else {}),
            }
        ),
    )


def _went_wrong(error: BaseException | None, ending: Ending) -> BaseException | None:
    # A task that asks for another run says why in the line itself: what it raised that from may have gone wrong.
    if ending is Ending.RETRIED and isinstance(error, Retry):
        return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error


class Ends:
    """What a Processor calls with each end: it is logged, and the app's own functions learn of dead letters.

    Args:
        hooks: The app's functions.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def __call__(self, delivery: Delivery, outcome: Outcome, run: RunFields, lost: Event) -> None:
        """See `log_end`."""
        log_end(delivery, outcome, run, lost)
        if isinstance(outcome, DeadLettered) and not lost.is_set():
            self._hooks.tell_dead(delivery, outcome)


def log_verdict(delivery: Delivery, outcome: Outcome) -> None:
    """Writes the line of a delivery that isn't run, as an earlier handing-over of it decided what becomes of it."""
    message = delivery.message
    run = RunFields(message.task if message else None, delivery.id, delivery.queue, delivery.attempt)
    log_end(delivery, outcome, run, Event())
