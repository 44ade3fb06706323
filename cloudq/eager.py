"""Eager mode: a send runs its task at once. For tests; see `App.eager`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextvars import copy_context
from datetime import datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

from cloudq.context import Context
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Outcome, Retried
from cloudq.core.processor import Job, Processor
from cloudq.errors import UnknownTaskError, nearest

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.core.policy import RetryPolicy
    from cloudq.tasks import Definition


def run(app: App, message: Message) -> None:
    """Runs the message's task here; an async task on a loop of its own.

    Raises:
        UnknownTaskError: The app declares no such task.
        Exception: What the task raised.
    """
    handler = _Witness(_definition(app, message))
    processor = _processor(app, message, handler)
    delivery = _delivery(app, message)
    if not handler.is_async:
        handler.check(processor.process(delivery))
        return
    import asyncio

    outcome: list[Outcome] = []

    def in_a_loop() -> None:
        outcome.append(asyncio.run(processor.aprocess(delivery)))

    if asyncio._get_running_loop() is None:
        in_a_loop()
    else:
        # The running loop can't be entered again, so the task gets a thread whose loop is its own.
        thread = threading.Thread(target=copy_context().run, args=(in_a_loop,), name="cloudq-eager")
        thread.start()
        thread.join()
    handler.check(outcome[0])


async def arun(app: App, message: Message) -> None:
    """As `run`, on the running loop."""
    handler = _Witness(_definition(app, message))
    processor = _processor(app, message, handler)
    delivery = _delivery(app, message)
    handler.check(await processor.aprocess(delivery) if handler.is_async else processor.process(delivery))


def _definition(app: App, message: Message) -> Definition:
    definition = app.handlers.get(message.task)
    if definition is None:
        raise UnknownTaskError(f"no task {message.task!r} is declared: {nearest(message.task, app.handlers)}")
    return definition


def _processor(app: App, message: Message, handler: _Witness) -> Processor[Context]:
    handlers: Mapping[str, _Witness] = {message.task: handler}
    return Processor(handlers, middleware=app.middleware, retry_policy=app.retry_policy, clock=app.clock)


def _delivery(app: App, message: Message) -> Delivery:
    from msgspec.structs import replace

    due = replace(message, not_before=None)
    lease = Lease(queue=message.queue, receipt=None, expires_at=app.clock.now() + timedelta(days=1))
    return Delivery.of(wire.encode(due), native_id=message.id, runs=1, deliveries=1, lease=lease)


class _Witness:
    """A task's definition that remembers what its run raised, so that the test sees the error itself."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._error: BaseException | None = None

    @property
    def name(self) -> str:
        return self._definition.name

    @property
    def retry_policy(self) -> RetryPolicy:
        return self._definition.retry_policy

    @property
    def time_limit(self) -> timedelta | None:
        return self._definition.time_limit

    @property
    def is_async(self) -> bool:
        return self._definition.is_async

    def bind(
        self, delivery: Delivery, message: Message, *, deadline: datetime | None, lease_lost: Event
    ) -> Job[Context]:
        return _WitnessedJob(self, self._definition.bind(delivery, message, deadline=deadline, lease_lost=lease_lost))

    def saw(self, error: BaseException) -> None:
        self._error = error

    def check(self, outcome: Outcome) -> None:
        """Raises what the task raised, unless a middleware made something else of it."""
        if isinstance(outcome, (Retried, DeadLettered)):
            raise self._error if self._error is not None else RuntimeError(outcome.reason)


class _WitnessedJob:
    def __init__(self, witness: _Witness, job: Job[Context]) -> None:
        self._witness = witness
        self._job = job

    @property
    def context(self) -> Context:
        return self._job.context

    def run(self) -> object:
        try:
            return self._job.run()
        except BaseException as error:
            self._witness.saw(error)
            raise

    async def arun(self) -> object:
        try:
            return await self._job.arun()
        except BaseException as error:
            self._witness.saw(error)
            raise
