"""Where pushes come from, and so how they are settled and answered: a backend's own messages, or outside events."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec
from msgspec.structs import replace

from cloudq.app import App
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Ack, Driver, FinalStep, Outgoing, PushDriver, Release, is_push
from cloudq.core.driver import Final as FinalCall
from cloudq.core.message import Message, native_copy_id
from cloudq.core.outcome import DeadLettered, Outcome
from cloudq.core.plan import outgoing
from cloudq.core.push import PushRequest, PushResponse
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import PushRefused, UndecodableError
from cloudq.push.events import event_of
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.final_steps import final_step

logger = SafeLogger("cloudq.push")

RELEASE_UNCOUNTED: Final = Release(counted=False)
"""The step of what was not run: it says nothing about the task."""
DONE: Final = PushResponse(status=200)
# Has the sender of an event send it again.
SEND_AGAIN: Final = PushResponse(status=503)
# What Cloud Tasks always sets. A request with one of these is its own, or a forged one: never an event.
_TASK_HEADERS: Final = "x-cloudtasks-"


class Source(Protocol):
    """How a push from one place is settled and answered."""

    def settle(self, queue: CloudQueue, delivery: Delivery, outcome: Outcome, now: datetime) -> FinalStep:
        """Stores the copies that the outcome takes; says which step is left. Never raises for what a backend says."""
        ...

    def answer(self, lease: Lease, step: FinalStep) -> PushResponse:
        """The answer that carries the step out."""
        ...


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A push that was decoded.

    Attributes:
        delivery: What was pushed.
        source: Where it came from.
    """

    delivery: Delivery
    source: Source


class Arrivals:
    """Decodes pushes.

    Args:
        app: Whose tasks they are for.
        driver: Its backend.
        event_deadline: For how long the sender of an event waits.
    """

    def __init__(self, app: App, driver: Driver, event_deadline: timedelta) -> None:
        self._app = app
        self._pushing = driver if is_push(driver) else None
        self._backend = None if self._pushing is None else Backend(self._pushing)
        self._events = Events()
        self._event_deadline = event_deadline

    def decode(self, request: PushRequest) -> Arrival:
        """The delivery that was pushed, and how it is settled.

        Raises:
            PushRefused: It isn't for this app.
        """
        if self._pushing is not None and self._backend is not None:
            try:
                return Arrival(delivery=self._pushing.decode(request), source=self._backend)
            except PushRefused:
                if not _is_event(request):
                    raise
        return Arrival(delivery=self._event(request), source=self._events)

    def _event(self, request: PushRequest) -> Delivery:
        if not _is_event(request):
            raise PushRefused("it is a push of Google Cloud Tasks, which isn't this app's backend")
        event = event_of(request, self._app.runtime.handlers)
        message: Message | None = None
        undecodable: str | None = None
        try:
            message = wire.decode(event.body, self._app.default_queue)
        except UndecodableError as error:
            undecodable = error.message
        queue = self._queue_of(message)
        expires_at, ends = request.received_at + self._event_deadline, request.received + self._event_deadline
        return Delivery(
            queue=queue,
            id=message.id if message else event.id or hashlib.sha256(event.body).hexdigest()[:32],
            body=event.body,
            # The task says where it belongs, whatever the event says.
            message=None if message is None else replace(message, queue=queue),
            undecodable=undecodable,
            attempt=(message.attempt_base if message else 0) + 1,
            deliveries=event.deliveries,
            copy=event.copy,
            lease=Lease(
                queue=queue, receipt=None, expires_at=expires_at, hard_limit=expires_at, ends=ends, hard_end=ends
            ),
            raw=request,
        )

    def _queue_of(self, message: Message | None) -> str:
        handler = None if message is None else self._app.runtime.handlers.get(message.task)
        queue = self._app.default_queue if handler is None else handler.queue
        if self._app.queue(queue).capabilities.ordering and (message is None or message.ordering_key is None):
            raise PushRefused(
                f"queue {queue!r} keeps the order of an ordering key, and the event has none",
                hint="give it the attribute orderingkey, or the task another queue",
            )
        return queue


class Backend:
    """Messages of the app's own backend: the answer is their settlement.

    Args:
        driver: The backend.
    """

    def __init__(self, driver: PushDriver) -> None:
        self._driver = driver

    def settle(self, queue: CloudQueue, delivery: Delivery, outcome: Outcome, now: datetime) -> FinalStep:
        """By the plan."""
        return final_step(queue, delivery, outcome, now)

    def answer(self, lease: Lease, step: FinalStep) -> PushResponse:
        """The driver's."""
        return self._driver.encode(FinalCall(lease=lease, step=step))


class Events:
    """Events from outside: in no queue yet. What isn't done is stored in the task's queue, and from there on is a
    message like any other.
    """  # noqa: D205 - one sentence leads to the other

    def settle(self, queue: CloudQueue, delivery: Delivery, outcome: Outcome, now: datetime) -> FinalStep:
        """By the plan, all of it by copies: there is nothing to release, and nothing to dead-letter natively."""
        able = queue.capabilities
        if isinstance(outcome, DeadLettered) and able.native_dead_letter:
            return _store_for_a_worker(queue, delivery, outcome, now)
        narrowed = replace(
            able,
            native_retry_delay=None,
            native_dead_letter=False,
            attempt_exact=False,
        )
        return final_step(queue, delivery, outcome, now, capabilities=narrowed)

    def answer(self, lease: Lease, step: FinalStep) -> PushResponse:
        """200 for what is done or stored, 503 for what its sender is to send again."""
        del lease
        return DONE if isinstance(step, Ack) else SEND_AGAIN


def _store_for_a_worker(queue: CloudQueue, delivery: Delivery, outcome: DeadLettered, now: datetime) -> FinalStep:
    """Stores a dead event in its queue, where nothing but a worker can put it among the backend's own dead letters."""
    message = delivery.message
    if message is None:
        native_id = native_copy_id("", "", delivery.id, 1)
        copy = Outgoing(id=delivery.id, queue=queue.name, body=delivery.body, native_id=native_id)
    else:
        copy = outgoing(message.retry_copy(attempt_base=delivery.attempt, not_before=None), queue.capabilities, now)
    error = queue.store_copies([replace(copy, failure=outcome.failure)])[0].error
    if error is None:
        return Ack()
    logger.error("event %s could not be stored, so its sender has to send it again: %s", delivery.id, error)
    return Release()


def _is_event(request: PushRequest) -> bool:
    return not any(name.startswith(_TASK_HEADERS) for name in request.headers)
