"""`Observer`: what happens to messages, as it happens, for what counts it; and several as one.

```
 CloudQueue ── sent ──────────────┐
 edges ─────── started, ended ────┤
 leases ────── lease_renewed, lost┼─▶ Observer: OpenTelemetry's metrics, Prometheus, a summary line, yours
 drivers ───── called ────────────┘
```

Where nobody observes there is `None` in its place, which those that would tell ask first.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cloudq.core.safe_log import SafeLogger, is_ctrl_c

if TYPE_CHECKING:
    from cloudq.core.delivery import Delivery
    from cloudq.core.driver import SendResult
    from cloudq.core.ending import Ending
    from cloudq.core.message import Message

logger = SafeLogger("cloudq")


class Observer:
    """Told what happens. Each method does nothing here: override those that you want; more may come.

    They are called in the threads that send and run tasks, by several at once, and must be quick: no I/O, and no lock
    that is held for long. What one raises is logged once, and changes nothing else.
    """

    def opened(self, system: str, server: str | None) -> None:
        """A backend is in use from now on.

        Args:
            system: Its name in OpenTelemetry's words, `aws_sqs` or `servicebus`, or one of the same form where these
                have none: `gcp_cloud_tasks`, `sqlite`, `memory`; of a driver that doesn't say, its URL's scheme.
            server: The host that is called, where it is one.
        """

    def sent(self, message: Message, result: SendResult) -> None:
        """A message was stored, or couldn't be (`result.error`), or was there already (`result.duplicate`).

        Copies that cloudq makes (retries, hops, dead letters, redrives) aren't sent again.
        """

    def started(self, delivery: Delivery, age: timedelta | None) -> None:
        """A delivery's work begins: its task's run, or the decision that it isn't to run. `ended` follows, once.

        Args:
            delivery: What was handed over.
            age: For how long it has waited since it was due, or `None` where nobody knows when that was.
        """

    def ended(self, delivery: Delivery, ending: Ending, seconds: float | None) -> None:
        """The work that `started` has ended, or was given up; its settlement is under way.

        Args:
            delivery: What was worked on.
            ending: What becomes of it.
            seconds: For how long it ran; `None` where it was given up, and may run on.
        """

    def unrun(self, delivery: Delivery, ending: Ending) -> None:
        """A delivery is settled that wasn't `started` here: an earlier run did its work, or had its last.

        Args:
            delivery: What was handed over.
            ending: As in `ended`.
        """

    def lease_renewed(self, queue: str, count: int) -> None:
        """This many leases of deliveries in hand were extended, of one queue."""

    def lease_lost(self, delivery: Delivery) -> None:
        """A lease was over before its delivery's end was recorded: it may run a second time."""

    def held_back(self, queue: str, why: str | None) -> None:
        """A queue isn't received from for now; `None`: it is again.

        Args:
            queue: Its name.
            why: In a word or two: `paused`, `rate`, `circuit open`, `store down`.
        """

    def called(self, operation: str, queue: str | None, seconds: float, error: BaseException | None) -> None:
        """A driver has made one request to its service, which is what is billed; tries count, each for itself.

        Args:
            operation: The service's own name of it: `SendMessageBatch`, `CreateTask`.
            queue: Whose it was, where it was of one.
            seconds: How long it took; of a long poll, the wait included.
            error: Why it failed, as the driver reports it, or `None`.
        """


def age_at(delivery: Delivery, now: datetime) -> timedelta | None:
    """For how long a delivery has waited since it could have run; `None` where nobody says since when.

    It counts from its time, if it has one; else from when this copy was stored, by the service's clock; else from its
    sending. Clocks differ, so that it is never less than zero.
    """
    message = delivery.message
    since = None if message is None else message.not_before
    since = since or delivery.stored_at or (None if message is None else message.sent_at)
    return None if since is None else max(timedelta(0), now - since)


def composed(observers: Sequence[Observer]) -> Observer | None:
    """All of these as one, which raises nothing; `None` if there are none."""
    return _Composed(observers) if observers else None


class _Composed(Observer):
    """Tells each of several; one that raises keeps the others from nothing."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers: Final = tuple(observers)
        self._lock = threading.Lock()
        self._said: set[tuple[int, str]] = set()  # guarded by the lock: which verbs of which have raised

    def opened(self, system: str, server: str | None) -> None:
        self._tell("opened", system, server)

    def sent(self, message: Message, result: SendResult) -> None:
        self._tell("sent", message, result)

    def started(self, delivery: Delivery, age: timedelta | None) -> None:
        self._tell("started", delivery, age)

    def ended(self, delivery: Delivery, ending: Ending, seconds: float | None) -> None:
        self._tell("ended", delivery, ending, seconds)

    def unrun(self, delivery: Delivery, ending: Ending) -> None:
        self._tell("unrun", delivery, ending)

    def lease_renewed(self, queue: str, count: int) -> None:
        self._tell("lease_renewed", queue, count)

    def lease_lost(self, delivery: Delivery) -> None:
        self._tell("lease_lost", delivery)

    def held_back(self, queue: str, why: str | None) -> None:
        self._tell("held_back", queue, why)

    def called(self, operation: str, queue: str | None, seconds: float, error: BaseException | None) -> None:
        self._tell("called", operation, queue, seconds, error)

    def _tell(self, verb: str, *what: object) -> None:
        for place, observer in enumerate(self._observers):
            try:
                getattr(observer, verb)(*what)
            except BaseException as error:  # noqa: BLE001 - a counter that fails harms no task, be it by sys.exit
                self._note(place, verb, error)

    def _note(self, place: int, verb: str, error: BaseException) -> None:
        if is_ctrl_c(error):
            raise error
        with self._lock:
            if (place, verb) in self._said:
                return
            self._said.add((place, verb))
        logger.error("an observer failed at %r, which is said once: %s", verb, error, exc_info=error)
