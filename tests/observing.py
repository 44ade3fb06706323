"""An observer that keeps what it is told, in words."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.delivery import Delivery
from cloudq.core.driver import SendResult
from cloudq.core.ending import Ending
from cloudq.core.message import Message
from cloudq.core.observing import Observer


class Told(Observer):
    """What happened, in order, as tuples that begin with the verb.

    Attributes:
        log: All of it but the calls.
        calls: The calls: operation, queue, and the error's class.
        ages: What each start was told of its age.
    """

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []
        self.calls: list[tuple[str, str | None, type[BaseException] | None]] = []
        self.ages: list[timedelta | None] = []

    def sent(self, message: Message, result: SendResult) -> None:
        became = "duplicate" if result.duplicate else "stored"
        self.log.append(("sent", message.task, type(result.error).__name__ if result.error else became))

    def started(self, delivery: Delivery, age: timedelta | None) -> None:
        self.log.append(("started", _task(delivery)))
        self.ages.append(age)

    def ended(self, delivery: Delivery, ending: Ending, seconds: float | None) -> None:
        self.log.append(("ended", _task(delivery), ending.value))

    def unrun(self, delivery: Delivery, ending: Ending) -> None:
        self.log.append(("unrun", _task(delivery), ending.value))

    def lease_renewed(self, queue: str, count: int) -> None:
        self.log.append(("lease renewed", queue, count))

    def lease_lost(self, delivery: Delivery) -> None:
        self.log.append(("lease lost", delivery.queue))

    def held_back(self, queue: str, why: str | None) -> None:
        self.log.append(("held back", queue, why))

    def called(self, operation: str, queue: str | None, seconds: float, error: BaseException | None) -> None:
        self.calls.append((operation, queue, None if error is None else type(error)))

    @property
    def in_flight(self) -> int:
        """How many have started and not ended."""
        return sum((what[0] == "started") - (what[0] == "ended") for what in self.log)


def _task(delivery: Delivery) -> str | None:
    return delivery.message.task if delivery.message else None
