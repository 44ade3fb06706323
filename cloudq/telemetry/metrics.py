"""`Metrics`: what happens, as OpenTelemetry's metrics."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable
from datetime import timedelta
from typing import TypeVar

from opentelemetry.metrics import Meter

from cloudq.core.delivery import Delivery
from cloudq.core.driver import SendResult
from cloudq.core.ending import Ending
from cloudq.core.message import Message
from cloudq.core.observing import Observer
from cloudq.telemetry import conventions as words
from cloudq.telemetry.backend import Backend

_FAILED = frozenset({Ending.RETRIED, Ending.DEAD_LETTERED})
# Attributes that are made once are kept: making them costs more than the measurement. More than a program has.
_MOST_KEPT = 10_000

KeyT = TypeVar("KeyT", bound=Hashable)


class Metrics(Observer):
    """Records what happens by the instruments of a meter.

    Args:
        meter: Makes the instruments.
        tasks: The names that may be attributes: anybody may send a message of any task, and each name would be kept for
            ever. Others are `_OTHER`.
    """

    def __init__(self, meter: Meter, tasks: Container[str]) -> None:
        self._tasks = tasks
        self._backend = Backend()
        self._kept: dict[Hashable, dict[str, str]] = {}
        self._sent = meter.create_counter(
            words.SENT, unit="{message}", description="Messages that were to be stored, by whether they are."
        )
        self._consumed = meter.create_counter(
            words.CONSUMED, unit="{message}", description="Deliveries whose work has begun."
        )
        self._duration = meter.create_histogram(
            words.PROCESS_DURATION,
            unit="s",
            description="How long a delivery was worked on.",
            explicit_bucket_boundaries_advisory=words.DURATION_BOUNDS,
        )
        self._calls = meter.create_histogram(
            words.OPERATION_DURATION,
            unit="s",
            description="How long a request to the service took. Their number is what is billed.",
            explicit_bucket_boundaries_advisory=words.DURATION_BOUNDS,
        )
        self._age = meter.create_histogram(
            words.AGE,
            unit="s",
            description="How long a message had waited since it was due, when its work began.",
            explicit_bucket_boundaries_advisory=words.AGE_BOUNDS,
        )
        self._ended = meter.create_counter(
            words.ENDED, unit="{delivery}", description="Deliveries that have ended, by their outcome."
        )
        self._in_flight = meter.create_up_down_counter(
            words.IN_FLIGHT, unit="{delivery}", description="Deliveries that are worked on now."
        )
        self._renewals = meter.create_counter(words.RENEWALS, unit="{lease}", description="Leases that were extended.")
        self._losses = meter.create_counter(
            words.LOSSES, unit="{lease}", description="Leases that were over before the end of the work was recorded."
        )
        self._duplicates = meter.create_counter(
            words.DUPLICATES, unit="{message}", description="Messages that weren't stored, or not run, a second time."
        )
        self._held_back = meter.create_up_down_counter(
            words.HELD_BACK, unit="{queue}", description="1 while a queue isn't received from, for that reason."
        )
        self._reasons: dict[str, dict[str, str]] = {}

    def opened(self, system: str, server: str | None) -> None:
        """What was made with an earlier backend's name is made anew."""
        self._backend.opened(system, server)
        self._kept.clear()

    def sent(self, message: Message, result: SendResult) -> None:
        """Also counts what was there already."""
        error = None if result.error is None else type(result.error)
        key = ("sent", message.queue, error)
        attributes = self._kept.get(key)
        if attributes is None:
            attributes = self._keep(key, self._operation("send", message.queue))
            if result.error is not None:
                attributes[words.ERROR_TYPE] = words.error_type(result.error)
        self._sent.add(1, attributes)
        if result.duplicate:
            self._duplicates.add(1, self._where("send", message.queue))

    def started(self, delivery: Delivery, age: timedelta | None) -> None:
        """Counts it, and how long it has waited."""
        consumed = self._made(("consumed", delivery.queue), lambda: self._operation("process", delivery.queue))
        self._consumed.add(1, consumed)
        of_task = self._of_task(delivery)
        self._in_flight.add(1, of_task)
        if age is not None:
            self._age.record(age.total_seconds(), of_task)

    def ended(self, delivery: Delivery, ending: Ending, seconds: float | None) -> None:
        """Counts it by its outcome, and records how long it took."""
        self._in_flight.add(-1, self._of_task(delivery))
        task = self._name(delivery)

        def make() -> dict[str, str]:
            attributes = self._operation("process", delivery.queue)
            attributes[words.TASK], attributes[words.OUTCOME] = task, ending.value
            if ending in _FAILED:
                # Which error it was is what anybody's message may decide, so it stays out of the metrics.
                attributes[words.ERROR_TYPE] = words.OTHER
            return attributes

        if seconds is not None:
            self._duration.record(seconds, self._made(("duration", delivery.queue, task, ending), make))
        self._count(delivery, ending)

    def unrun(self, delivery: Delivery, ending: Ending) -> None:
        """Counts it by its outcome."""
        self._count(delivery, ending)

    def lease_renewed(self, queue: str, count: int) -> None:
        """Counts them."""
        self._renewals.add(count, self._of_queue(queue))

    def lease_lost(self, delivery: Delivery) -> None:
        """Counts it."""
        self._losses.add(1, self._of_queue(delivery.queue))

    def held_back(self, queue: str, why: str | None) -> None:
        """At most one reason of a queue is 1."""
        if (before := self._reasons.pop(queue, None)) is not None:
            self._held_back.add(-1, before)
        if why is not None:
            now = self._backend.attributes(queue, **{words.REASON: why})
            self._reasons[queue] = now
            self._held_back.add(1, now)

    def called(self, operation: str, queue: str | None, seconds: float, error: BaseException | None) -> None:
        """Records how long it took."""
        kind = None if error is None else type(error)

        def make() -> dict[str, str]:
            attributes = self._backend.attributes(queue, **{words.OPERATION_NAME: operation})
            if (type_ := words.operation_type(operation)) is not None:
                attributes[words.OPERATION_TYPE] = type_
            if error is not None:
                attributes[words.ERROR_TYPE] = words.error_type(error)
            return attributes

        self._calls.record(seconds, self._made(("called", operation, queue, kind), make))

    def _count(self, delivery: Delivery, ending: Ending) -> None:
        task = self._name(delivery)

        def make() -> dict[str, str]:
            return self._backend.attributes(delivery.queue, **{words.TASK: task, words.OUTCOME: ending.value})

        self._ended.add(1, self._made(("ended", delivery.queue, task, ending), make))
        if ending is Ending.DUPLICATE:
            self._duplicates.add(1, self._where("process", delivery.queue))

    def _name(self, delivery: Delivery) -> str:
        """The task's, if it is one of ours."""
        name = None if delivery.message is None else delivery.message.task
        return name if name in self._tasks and name is not None else words.OTHER

    def _of_task(self, delivery: Delivery) -> dict[str, str]:
        queue, task = delivery.queue, self._name(delivery)
        return self._made(("task", queue, task), lambda: self._backend.attributes(queue, **{words.TASK: task}))

    def _of_queue(self, queue: str) -> dict[str, str]:
        return self._made(("queue", queue), lambda: self._backend.attributes(queue))

    def _where(self, operation: str, queue: str) -> dict[str, str]:
        return self._made(
            ("where", operation, queue), lambda: self._backend.attributes(queue, **{words.WHERE: operation})
        )

    def _operation(self, name: str, queue: str) -> dict[str, str]:
        return self._backend.attributes(queue, **{words.OPERATION_NAME: name, words.OPERATION_TYPE: name})

    def _made(self, key: Hashable, make: Callable[[], dict[str, str]]) -> dict[str, str]:
        attributes = self._kept.get(key)
        return self._keep(key, make()) if attributes is None else attributes

    def _keep(self, key: Hashable, attributes: dict[str, str]) -> dict[str, str]:
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[key] = attributes
        return attributes
