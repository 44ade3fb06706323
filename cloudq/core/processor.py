"""`Processor`: from a delivery to an outcome. The one path that every edge ends in.

```
Delivery ─▶ poison? ─▶ not due? ─▶ middleware ─▶ handler ─▶ RetryPolicy ─▶ Outcome
```
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from functools import cache
from threading import Event
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

from msgspec.structs import replace

from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.delivery import Delivery
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, Acked, DeadLettered, Outcome, Retried
from cloudq.core.policy import RetryPolicy
from cloudq.errors import PayloadError, TimeLimitExceeded, nearest

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

ContextT = TypeVar("ContextT")
ContextT_co = TypeVar("ContextT_co", covariant=True)

Middleware: TypeAlias = Callable[[ContextT], Generator[None, Outcome, Outcome]]
"""Code around a task: a generator function of its `Context`.

Code before, `outcome = yield`, code after, `return outcome`. Returning an outcome before the yield skips the task.
"""

# Clocks of two machines may differ by so much without a message being sent round again.
NOT_DUE_TOLERANCE = timedelta(seconds=1)


class Job(Protocol[ContextT_co]):
    """A delivery bound to its task: what is left is to run it."""

    @property
    def context(self) -> ContextT_co:
        """What the handler and the middleware see."""
        ...

    def run(self) -> object:
        """Runs a sync handler."""
        ...

    async def arun(self) -> object:
        """Runs an async handler."""
        ...


class Handler(Protocol[ContextT_co]):
    """A declared task, as far as the Processor needs to know it."""

    @property
    def name(self) -> str:
        """The task's name."""
        ...

    @property
    def retry_policy(self) -> RetryPolicy:
        """The task's own policy, or its app's."""
        ...

    @property
    def time_limit(self) -> timedelta | None:
        """How long the handler may run."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether the handler is a coroutine function."""
        ...

    def bind(
        self, delivery: Delivery, message: Message, *, deadline: datetime | None, lease_lost: Event
    ) -> Job[ContextT_co]:
        """Binds the payload to the parameters.

        Raises:
            PayloadError: It doesn't fit.
        """
        ...


TimeLimiter: TypeAlias = Callable[[timedelta], AbstractContextManager[None]]
"""Raises `TimeLimitExceeded` in the block that it guards once the time is over. The edge knows how."""


def no_time_limit(limit: timedelta) -> AbstractContextManager[None]:
    """For edges whose host ends what runs too long."""
    del limit
    return nullcontext()


class Processor(Generic[ContextT]):
    """Turns deliveries into outcomes. Holds no delivery, starts no thread, does no I/O; never raises for a delivery.

    Args:
        handlers: The declared tasks by name, aliases included. Looked up at each delivery.
        middleware: Around every task, the first outermost. Poison never reaches it.
        retry_policy: For deliveries whose task isn't known.
        clock: Where the time comes from.
        time_limiter: How a sync handler is stopped at its time limit.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler[ContextT]],
        *,
        middleware: Sequence[Middleware[ContextT]] = (),
        retry_policy: RetryPolicy | None = None,
        clock: Clock = SYSTEM_CLOCK,
        time_limiter: TimeLimiter = no_time_limit,
    ) -> None:
        self._handlers = handlers
        self._middleware = tuple(middleware)
        self._retry_policy = retry_policy or RetryPolicy()
        self._clock = clock
        self._time_limiter = time_limiter

    def handler_for(self, delivery: Delivery) -> Handler[ContextT] | None:
        """The task that the delivery names, or `None` if it is poison."""
        return None if delivery.message is None else self._handlers.get(delivery.message.task)

    def process(self, delivery: Delivery, *, lease_lost: Event | None = None) -> Outcome:
        """Runs a sync task (or decides without running one) and says what becomes of the delivery.

        Args:
            delivery: The delivery.
            lease_lost: Set by the edge once the lease is over, so that the handler can see it.
        """
        prepared = self._prepare(delivery, lease_lost)
        if not isinstance(prepared, _Run):
            return prepared
        run = prepared
        if run.enter():
            try:
                with nullcontext() if run.time_limit is None else self._time_limiter(run.time_limit):
                    run.job.run()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a task raises is the policy's business
                run.failed(error)
            else:
                run.outcome = ACKED
        return self._finished(run)

    async def aprocess(self, delivery: Delivery, *, lease_lost: Event | None = None) -> Outcome:
        """As `process`, for an async task. Cancelling it cancels the handler and passes the cancellation on."""
        prepared = self._prepare(delivery, lease_lost)
        if not isinstance(prepared, _Run):
            return prepared
        run = prepared
        if run.enter():
            try:
                async with _async_time_limit(run.time_limit):
                    await run.job.arun()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a task raises is the policy's business
                run.failed(error)
            else:
                run.outcome = ACKED
        return self._finished(run)

    def failed(self, delivery: Delivery, error: BaseException) -> Outcome:
        """What becomes of a delivery that ended in `error` outside the handler, e.g. with its process."""
        handler = self.handler_for(delivery)
        policy = handler.retry_policy if handler else self._retry_policy
        return self._detailed(delivery, self._decide(policy, delivery, error))

    def _prepare(self, delivery: Delivery, lease_lost: Event | None) -> _Run[ContextT] | Outcome:
        message = delivery.message
        if message is None:
            return self._dead(delivery, f"undecodable: {delivery.undecodable}")
        handler = self._handlers.get(message.task)
        policy = handler.retry_policy if handler else self._retry_policy
        if delivery.deliveries > policy.max_deliveries:
            times = delivery.deliveries - 1
            return self._dead(delivery, f"worker died or lease expired: handed over {times} times without an end")
        now = self._clock.now()
        if message.not_before is not None and message.not_before - now > NOT_DUE_TOLERANCE:
            return Retried(delay=message.not_before - now, reason="not due yet", counted=False)
        if handler is None:
            reason = f"unknown task {message.task!r}: {nearest(message.task, self._handlers)}"
            return self._dead(delivery, reason)
        deadline = None if handler.time_limit is None else now + handler.time_limit
        try:
            job = handler.bind(delivery, message, deadline=deadline, lease_lost=lease_lost or Event())
        except PayloadError as error:
            return self._dead(delivery, f"payload: {error}", error)
        except Exception as error:  # noqa: BLE001 - a type's own validation code is the user's
            return self._detailed(delivery, self._decide(policy, delivery, error))
        return _Run(
            job,
            delivery,
            handler.time_limit,
            self._middleware,
            lambda error: self._decide(policy, delivery, error),
        )

    def _finished(self, run: _Run[ContextT]) -> Outcome:
        return self._detailed(run.delivery, run.leave())

    def _decide(self, policy: RetryPolicy, delivery: Delivery, error: BaseException) -> Outcome:
        sent_at = delivery.message.sent_at if delivery.message else None
        now = self._clock.now()
        age = timedelta(0) if sent_at is None else max(timedelta(0), now - sent_at)
        try:
            return policy.decide(error, attempt=delivery.attempt, age=age)
        except Exception as broken:  # noqa: BLE001 - a user's strategy must not leave the delivery without an outcome
            reason = f"the retry policy raised {type(broken).__name__}: {broken}"
            return DeadLettered(reason=reason, failure=Failure.of(reason, broken))

    def _dead(self, delivery: Delivery, reason: str, error: BaseException | None = None) -> Outcome:
        return self._detailed(delivery, DeadLettered(reason=reason, failure=Failure.of(reason, error)))

    def _detailed(self, delivery: Delivery, outcome: Outcome) -> Outcome:
        """Adds the counts and times to what failed."""
        if isinstance(outcome, Acked) or outcome.failure is None:
            return outcome
        now = self._clock.now()
        before = delivery.failure.first_at if delivery.failure else None
        failure = replace(
            outcome.failure,
            attempts=delivery.attempt,
            deliveries=delivery.deliveries,
            first_at=before or now,
            last_at=now,
            worker=worker_name(),
            generation=delivery.message.generation if delivery.message else 0,
        )
        return replace(outcome, failure=failure)


class _Run(Generic[ContextT]):
    """One job inside its middleware. Drives generators by hand, so that one chain serves sync and async tasks."""

    def __init__(
        self,
        job: Job[ContextT],
        delivery: Delivery,
        time_limit: timedelta | None,
        middleware: Sequence[Middleware[ContextT]],
        decide: Callable[[BaseException], Outcome],
    ) -> None:
        self.job = job
        self.delivery = delivery
        self.time_limit = time_limit
        self.outcome: Outcome = ACKED
        self._middleware = middleware
        self._decide = decide
        self._entered: list[Generator[None, Outcome, Outcome]] = []

    def failed(self, error: BaseException) -> None:
        self.outcome = self._decide(error)

    def enter(self) -> bool:
        """Runs each middleware up to its yield, from the outside in. False if one of them skips the task."""
        for middleware in self._middleware:
            try:
                generator = middleware(self.job.context)
                next(generator)
            except StopIteration as stop:
                self._returned(stop.value, middleware)
                return False
            except Exception as error:  # noqa: BLE001 - a middleware's error is treated as its task's
                self.failed(error)
                return False
            self._entered.append(generator)
        return True

    def leave(self) -> Outcome:
        """Runs the rest of each middleware that was entered, from the inside out."""
        while self._entered:
            generator = self._entered.pop()
            try:
                generator.send(self.outcome)
            except StopIteration as stop:
                if stop.value is not None:
                    self._returned(stop.value, generator)
            except Exception as error:  # noqa: BLE001 - a middleware's error is treated as its task's
                self.failed(error)
            else:
                generator.close()
                self.failed(TypeError(f"the middleware {_name(generator)} yielded twice"))
        return self.outcome

    def _returned(self, value: object, middleware: object) -> None:
        if isinstance(value, (Acked, Retried, DeadLettered)):
            self.outcome = value
        else:
            self.failed(TypeError(f"the middleware {_name(middleware)} returned {value!r}, not an Outcome"))


def _name(thing: object) -> str:
    return getattr(thing, "__qualname__", repr(thing))


def _async_time_limit(limit: timedelta | None) -> AbstractAsyncContextManager[object]:
    if limit is None:
        return nullcontext()
    return _AsyncTimeLimit(limit)


class _AsyncTimeLimit:
    """`asyncio.timeout`, with our error, and only for its own expiry: a handler's own TimeoutError stays what it is."""

    def __init__(self, limit: timedelta) -> None:
        import asyncio

        self._limit = limit
        self._timeout = asyncio.timeout(limit.total_seconds())

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)  # type: ignore[arg-type]  # typeshed names the concrete type
        except TimeoutError as expired:
            raise TimeLimitExceeded(f"the task ran longer than its time limit of {self._limit}") from expired


@cache
def worker_name() -> str:
    """`host:pid` of this process, as dead letters name it."""
    return f"{socket.gethostname()}:{os.getpid()}"
