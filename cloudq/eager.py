"""Eager mode: a send runs its task at once. For tests; see `App.eager`."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import copy_context
from datetime import datetime, timedelta
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING

from cloudq.context import Context
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Outcome, Retried
from cloudq.core.policy import RetryPolicy
from cloudq.core.processor import Job, Processor
from cloudq.errors import PayloadError, UnknownTaskError, nearest

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.tasks import Definition


def run(app: App, message: Message) -> None:
    """Runs the message's task here; an async task on a loop of its own.

    Raises:
        UnknownTaskError: The app declares no such task.
        Exception: What the task raised.
    """
    handler = Witness(_definition(app, message))
    processor = _processor(app, message, handler)
    delivery = _delivery(app, message)
    if not handler.is_async:
        handler.check(processor.process(delivery))
        return
    import asyncio

    def in_a_loop() -> Outcome:
        return asyncio.run(processor.aprocess(delivery))

    if asyncio._get_running_loop() is None:
        handler.check(in_a_loop())
        return
    from concurrent.futures import ThreadPoolExecutor

    # The running loop can't be entered again, so the task gets a thread whose loop is its own.
    with ThreadPoolExecutor(1, "cloudq-eager") as thread:
        handler.check(thread.submit(copy_context().run, in_a_loop).result())


async def arun(app: App, message: Message) -> None:
    """As `run`, on the running loop."""
    handler = Witness(_definition(app, message))
    processor = _processor(app, message, handler)
    delivery = _delivery(app, message)
    handler.check(await processor.aprocess(delivery) if handler.is_async else processor.process(delivery))


def _definition(app: App, message: Message) -> Definition:
    definition = app.handlers.get(message.task)
    if definition is None:
        raise UnknownTaskError(f"no task {message.task!r} is declared: {nearest(message.task, app.handlers)}")
    return definition


def _processor(app: App, message: Message, handler: Witness) -> Processor[Context]:
    handlers: Mapping[str, Witness] = {message.task: handler}
    return Processor(handlers, middleware=app.middleware, retry_policy=app.retry_policy, clock=app.clock)


def _delivery(app: App, message: Message) -> Delivery:
    from msgspec.structs import replace

    due = replace(message, not_before=None)
    lease = Lease(queue=message.queue, receipt=None, expires_at=app.clock.now() + timedelta(days=1))
    return Delivery.of(wire.encode(due), native_id=message.id, runs=1, deliveries=1, lease=lease)


class Witness:
    """A task's definition that remembers what its run failed with, so that a test sees the error itself.

    Attributes:
        error: The last error that the retry policy was asked about, or the payload's; `None` without one.
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self.error: BaseException | None = None

    @property
    def name(self) -> str:
        """The task's name."""
        return self._definition.name

    @property
    def retry_policy(self) -> RetryPolicy:
        """The task's own policy, or its app's, observed."""
        return _WitnessedPolicy(self, self._definition.retry_policy)

    @property
    def time_limit(self) -> timedelta | None:
        """How long the task may run."""
        return self._definition.time_limit

    @property
    def is_async(self) -> bool:
        """Whether the task is a coroutine function."""
        return self._definition.is_async

    def bind(
        self, delivery: Delivery, message: Message, *, deadline: datetime | None, lease_lost: Event
    ) -> Job[Context]:
        """The run of the task."""
        try:
            return self._definition.bind(delivery, message, deadline=deadline, lease_lost=lease_lost)
        except PayloadError as error:
            self.error = error  # no policy is asked about that
            raise

    def check(self, outcome: Outcome) -> None:
        """Raises what the task failed with, unless a middleware made something else of it."""
        if isinstance(outcome, (Retried, DeadLettered)):
            raise self.error if self.error is not None else RuntimeError(outcome.reason)


class _WitnessedPolicy(RetryPolicy):
    """Lets the witness see what a policy is asked about: the task's error, its time limit's, a middleware's."""

    def __init__(self, witness: Witness, policy: RetryPolicy) -> None:
        super().__init__()
        self._witness = witness
        self._policy = policy

    @cached_property
    def max_deliveries(self) -> int:
        return self._policy.max_deliveries

    def decide(self, error: BaseException, *, attempt: int, age: timedelta) -> Outcome:
        self._witness.error = error
        return self._policy.decide(error, attempt=attempt, age=age)
