"""`Resting`: the queues that nothing is published to for a while, since the last time nothing could be."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Final, NamedTuple

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.running.backoff import Backoff

logger = SafeLogger("cloudq.relay")

FIRST: Final = timedelta(seconds=1)
LONGEST: Final = timedelta(seconds=30)


class _Rest(NamedTuple):
    backoff: Backoff
    until: timedelta
    why: str


class Resting:
    """A back-off for each queue. Thread-safe.

    Without it the messages of a queue that is down would be taken again and again, before those of all others.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rests: dict[str, _Rest] = {}

    def queues(self) -> list[str]:
        """Those that rest now."""
        now = self._clock.elapsed()
        with self._lock:
            return [queue for queue, rest in self._rests.items() if rest.until > now]

    def begin(self, queue: str, why: str) -> None:
        """Nothing could be published to the queue. Said once, until something can."""
        with self._lock:
            before = self._rests.get(queue)
            backoff = before.backoff if before else Backoff(first=FIRST, longest=LONGEST)
            self._rests[queue] = _Rest(backoff, self._clock.elapsed() + backoff.next(), why)
        if before is None:
            logger.warning("nothing can be published to queue %r, which is tried again: %s", queue, why)

    def end(self, queue: str) -> None:
        """Something was published to the queue."""
        if queue not in self._rests:  # the usual case, without the lock
            return
        with self._lock:
            ended = self._rests.pop(queue, None)
        if ended is not None:
            logger.info("queue %r takes messages again", queue)

    def reasons(self) -> dict[str, str]:
        """Why, of each queue to which nothing could be published the last time."""
        with self._lock:
            return {queue: rest.why for queue, rest in self._rests.items()}
