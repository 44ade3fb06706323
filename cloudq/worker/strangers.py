"""`Strangers`: what a worker met of a queue's messages whose tasks it doesn't know, and how it holds back for them.

```
 polls as much as there are slots ─ an unknown one ─▶ asks for 10 at most ─ 10 in a row ─▶ one a minute, not ready
        ▲                                                   │                                   │
        └────────────────────── a known one ────────────────┴───────────────────────────────────┘
```

Until a queue has brought a first known one, it is asked for 10 at most, too: a worker in the wrong folder would else
send as many messages round as it has slots for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from typing import Final, TypeAlias

from cloudq.app import App
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.outcome import Outcome, Snoozed
from cloudq.core.safe_log import SafeLogger
from cloudq.worker.settings import WorkerSettings

logger = SafeLogger("cloudq.worker")

# This many in a row are no accident: the program, or the queue, is the wrong one.
MOST_IN_A_ROW: Final = 10
# How often it is then looked whether a known one has come.
ROUND: Final = timedelta(minutes=1)
ZERO: Final = timedelta(0)

_SHOWN: Final = 8
_NAME_CHARS: Final = 200
_MOST_REMEMBERED: Final = 10_000

_Identity: TypeAlias = tuple[str, str]


def _is_believed(delivery: Delivery) -> bool:
    del delivery
    return True


class Strangers:
    """What is known of one queue. Thread-safe; outlives the queue's pollers.

    Args:
        queue: Its name.
        known: The names of the tasks that this program knows.
        patience: The app's `unknown_task_patience`; where it is zero nothing is held back for.
        burst: Whether the worker ends once its queues are empty.
        found: How the app was found, for a person.
        believed: Whether a delivery's message may be believed: one without a signature that is required says nothing.
        clock: Where the time comes from.
    """

    def __init__(
        self,
        queue: str,
        known: Collection[str],
        *,
        patience: timedelta,
        burst: bool,
        found: str,
        clock: Clock,
        believed: Callable[[Delivery], bool] = _is_believed,
    ) -> None:
        self.queue = queue
        self._known = known
        self._waits = patience > ZERO
        self.burst = burst
        self._found = found
        self._clock = clock
        self._believed = believed
        self._lock = threading.Lock()
        # All below is guarded by the lock.
        self._row: list[tuple[_Identity, str]] = []
        self._met_known = False
        self._among: Sequence[str] | None = None  # the names that were seen, once there were too many
        self._noted_at = ZERO
        self._left: dict[_Identity, str] = {}

    # ── for the poller ───────────────────────────────────────────────────────────────────────────────────

    def note(self, deliveries: Sequence[Delivery]) -> None:
        """Takes note of what a poll brought, in its order; nothing included."""
        if not self._waits:
            return
        with self._lock:
            self._noted_at = self._clock.elapsed()
            before = self._among
            for delivery in deliveries:
                self._note(delivery)
            after = self._among
        if before is None and after is not None:
            self._say_that_it_is_among_strangers(after)
        elif before is not None and after is None:
            logger.info(
                "queue %s has messages of known tasks again, and is polled as before",
                self.queue,
                extra={"cloudq_queue": self.queue},
            )

    def limit(self, wanted: int) -> int:
        """How many of those that are wanted may be asked for."""
        if not self._waits:
            return wanted
        with self._lock:
            if self._among is not None:
                return 1
            if self._met_known and not self._row:
                return wanted
            return min(wanted, max(1, MOST_IN_A_ROW - len(self._row)))

    @property
    def hold_back(self) -> bool:
        """Whether no more than one poll at a time is to be made: for unknown tasks, or before the first known one."""
        with self._lock:
            return self._waits and not (self._met_known and not self._row and self._among is None)

    def rest(self) -> timedelta:
        """How long to leave the queue alone before the next poll."""
        with self._lock:
            if self._among is None or self.burst:
                return ZERO
            return max(ZERO, self._noted_at + ROUND - self._clock.elapsed())

    @property
    def ends_burst(self) -> bool:
        """Whether a burst is done with the queue, whatever is left there."""
        with self._lock:
            return self.burst and self._among is not None

    # ── for the service ──────────────────────────────────────────────────────────────────────────────────

    def note_end(self, delivery: Delivery, outcome: Outcome) -> None:
        """Takes note of what became of a delivery."""
        message = delivery.message
        if message is None or message.task in self._known:
            return
        identity = message.source, delivery.id
        with self._lock:
            self._left.pop(identity, None)
            if isinstance(outcome, Snoozed) and len(self._left) < _MOST_REMEMBERED:
                self._left[identity] = message.task[:_NAME_CHARS]

    @property
    def problem(self) -> str | None:
        """Why this queue isn't worked on, or `None`."""
        with self._lock:
            names = self._among
        if names is None:
            return None
        return f"queue {self.queue}: its messages are of tasks that this program doesn't know: {_listed(names)}"

    @property
    def left(self) -> str | None:
        """What of this queue went back and is left there, in one line, or `None`."""
        with self._lock:
            left = list(self._left.values())
            among = self._among is not None
        if not left:
            return None
        more = "and more were not looked at: " if among else ""
        messages = "1 message" if len(left) == 1 else f"{len(left)} messages"
        return f"queue {self.queue}: {messages} of unknown tasks went back, {more}{_listed(dict.fromkeys(left))}"

    # ── with the lock held ───────────────────────────────────────────────────────────────────────────────

    def _note(self, delivery: Delivery) -> None:
        message = delivery.message
        if message is None:
            return  # what can't be read says nothing about whose queue it is
        if message.task in self._known:
            self._met_known, self._among = True, None
            self._row.clear()
            return
        if not self._believed(delivery):
            return  # it is dead-lettered, not given back; else anybody could have the queue polled once a minute
        seen = (message.source, delivery.id), message.task[:_NAME_CHARS]
        # Where others are known one that comes again and again is no sign. Where none ever was, each is written anew.
        if self._among is None and (seen not in self._row or not self._met_known):
            self._row.append(seen)
        if self._among is None and len(self._row) >= MOST_IN_A_ROW:
            self._among = list(dict.fromkeys(name for _, name in self._row))

    def _say_that_it_is_among_strangers(self, names: Sequence[str]) -> None:
        logger.error(
            "queue %s: %d messages in a row are of tasks that this program doesn't know (%s); it knows %s, and was "
            "found as %s. %s. Is it the right folder, app, queue and version?",
            self.queue,
            MOST_IN_A_ROW,
            _listed(names),
            _listed(sorted(self._known)) or "none",
            self._found,
            "The burst leaves that queue" if self.burst else "That queue is polled once a minute until one is known",
            extra={"cloudq_queue": self.queue},
        )


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def strangers_of(
    app: App, settings: WorkerSettings, queues: Iterable[str], *, believed: Callable[[Delivery], bool]
) -> dict[str, Strangers]:
    """What a worker of the app knows of each queue's unknown tasks: nothing yet.

    Args:
        app: The app.
        settings: How the worker works, and how the app was found.
        queues: The worker's queues.
        believed: Whether a message is one to judge a queue by.
    """
    return {
        queue: Strangers(
            queue,
            app.runtime.handlers,
            patience=app.unknown_task_patience,
            burst=settings.burst,
            found=settings.app_found or settings.app_spec or "the app that this program gave the worker",
            clock=app.clock,
            believed=believed,
        )
        for queue in queues
    }
