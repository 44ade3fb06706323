"""`Processor`: from a delivery to an outcome. The one path that every edge ends in.

```
Delivery ─▶ poison? ─▶ signed? ─▶ queue? ─▶ due? ─▶ known? ─▶ payload ─▶ middleware ─▶ handler ─▶ policy ─▶ Outcome
```
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import partial
from threading import Event
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec.structs import replace

from cloudq.core.async_time_limit import AsyncTimeLimit
from cloudq.core.cancellation import is_being_cancelled, is_never_cancelled, is_the_tasks_own
from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.delivery import Delivery, believed
from cloudq.core.due_times import LONGEST_DELAY, DueTimes
from cloudq.core.failure import Failure, bounded_reason, words_of
from cloudq.core.handler import Handler, Job, not_of
from cloudq.core.loading import LOAD_LIMIT, not_loaded, off_the_loop
from cloudq.core.message import LARGEST_COUNT, Message
from cloudq.core.middleware import Chain, Middleware
from cloudq.core.outcome import Acked, DeadLettered, Outcome
from cloudq.core.policy import RetryPolicy
from cloudq.core.redaction import Redact, mask_secrets, redacting
from cloudq.core.safe_log import is_ctrl_c
from cloudq.core.signature_check import SignatureCheck
from cloudq.core.unknown import UNKNOWN_TASK_PATIENCE, UnknownTasks
from cloudq.errors import PayloadError

ContextT = TypeVar("ContextT")

TimeLimiter: TypeAlias = Callable[[timedelta], AbstractContextManager[None]]
"""Raises `TimeLimitExceeded` in the block that it guards once the time is over. The edge knows how."""


def no_time_limit(limit: timedelta) -> AbstractContextManager[None]:
    """For edges whose host ends what runs too long."""
    del limit
    return nullcontext()


class Processor(Generic[ContextT]):
    """Turns deliveries into outcomes. Holds no delivery, never raises for one, does no I/O of its own.

    A payload that didn't travel in its message is loaded by the handler: on the caller's thread, or for an async task
    on one that is started for it.

    Args:
        handlers: The declared tasks by name, aliases included. Looked up at each delivery.
        middleware: Around every task, the first outermost. Poison never reaches it.
        retry_policy: For deliveries whose task isn't known.
        clock: Where the time comes from.
        time_limiter: How a sync handler is stopped at its time limit.
        least_deliveries: The backstop against messages that kill their worker is no lower than this, whatever the
            policy says: for edges that hand back much of what they were handed (semantics 16).
        unknown_task_patience: For how long a message whose task isn't known goes back to its queue before it is
            dead-lettered; zero: not at all.
        signatures: Looks at the signature of each delivery, before anything else is believed; `None`: nothing does.
        strict_queues: Whether a message from a queue that its task doesn't name is dead-lettered.
        longest_delay: How far away a message's time may be; what is due later is dead-lettered.
        redact: Takes secrets out of what is kept and logged of a failure.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler[ContextT]],
        *,
        middleware: Sequence[Middleware[ContextT]] = (),
        retry_policy: RetryPolicy | None = None,
        clock: Clock = SYSTEM_CLOCK,
        time_limiter: TimeLimiter = no_time_limit,
        least_deliveries: int = 0,
        unknown_task_patience: timedelta = UNKNOWN_TASK_PATIENCE,
        signatures: SignatureCheck | None = None,
        strict_queues: bool = False,
        longest_delay: timedelta = LONGEST_DELAY,
        redact: Redact = mask_secrets,
    ) -> None:
        self._handlers = handlers
        self._middleware = tuple(middleware)
        self._retry_policy = retry_policy or RetryPolicy()
        self._clock = clock
        self._time_limiter = time_limiter
        self._least_deliveries = least_deliveries
        self._unknown = UnknownTasks(unknown_task_patience, clock)
        self._signatures = signatures
        self._strict_queues = strict_queues
        self._due_times = DueTimes(longest_delay, clock)
        self._redact = redact

    def believes(self, delivery: Delivery) -> bool:
        """Whether its message may be believed, as far as signatures go."""
        return self._signatures is None or self._signatures.accepts(delivery)

    def handler_for(self, delivery: Delivery) -> Handler[ContextT] | None:
        """The task that the delivery names, or `None` if it is poison."""
        return None if delivery.message is None else self._handlers.get(delivery.message.task)

    def process(
        self, delivery: Delivery, *, lease_lost: Event | None = None, until: timedelta | None = None
    ) -> Outcome:
        """Runs a sync task (or decides without running one) and says what becomes of the delivery.

        Args:
            delivery: The delivery.
            lease_lost: Set by the edge once the lease is over, so that the handler can see it.
            until: When the edge itself ends by `Clock.elapsed`, if it does: the task's time is over then at the latest.
        """
        steps = self._steps(delivery, lease_lost, until, is_never_cancelled)
        with redacting(self._redact):
            try:
                step = next(steps)
                while True:
                    result, failed = None, None
                    try:
                        if step.limit is None:
                            result = step.run()
                        else:
                            with self._time_limiter(step.limit):
                                result = step.run()
                    except BaseException as error:  # noqa: BLE001 - thrown into the steps, which raise what isn't theirs
                        failed = error
                    # Outside of the except: what runs next, middleware too, isn't "during handling" of this error.
                    step = steps.send(result) if failed is None else steps.throw(failed)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            finally:
                steps.close()  # interrupted here, the middleware tidies up at once
                failed = None  # its traceback refers to this frame: a circle, which would keep the task's locals alive

    async def aprocess(
        self, delivery: Delivery, *, lease_lost: Event | None = None, until: timedelta | None = None
    ) -> Outcome:
        """As `process`, for an async task.

        Cancelling it cancels the handler and passes the cancellation on. A `CancelledError` that the handler raises
        though nobody cancelled it (something that it awaited was) is an error like any other.
        """
        steps = self._steps(delivery, lease_lost, until, is_being_cancelled)
        with redacting(self._redact):
            try:
                step = next(steps)
                while True:
                    result, failed = None, None
                    try:
                        if step.limit is None:
                            result = await step.arun()
                        else:
                            async with AsyncTimeLimit(step.limit, self._clock):
                                result = await step.arun()
                    except BaseException as error:  # noqa: BLE001 - as above
                        failed = error
                    step = steps.send(result) if failed is None else steps.throw(failed)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            finally:
                steps.close()
                failed = None

    def _steps(
        self,
        delivery: Delivery,
        lease_lost: Event | None,
        until: timedelta | None,
        is_cancelled: Callable[[], bool],
    ) -> Generator[_Step, Any, Outcome]:
        """The way of one delivery. Yields what may block, to be sent its result or thrown its error."""
        if delivery.failure is not None:
            delivery = believed(delivery, self._clock.now())
        checked = self._check(delivery)
        if not isinstance(checked, tuple):
            return checked
        handler, message = checked
        if message.reference is not None:
            load = partial(handler.load, message)
            try:
                message = yield _Step(self._load_limit(until), load, partial(off_the_loop, load))
            except Exception as error:  # noqa: BLE001 - a store's package may raise anything
                return self._detailed(delivery, not_loaded(delivery, error, self._clock.now()))
        prepared = self._prepare(delivery, handler, message, lease_lost, until)
        if not isinstance(prepared, tuple):
            return prepared
        job, chain, time_limit = prepared
        try:
            if chain.enter():
                try:
                    yield _Step(time_limit, job.run, job.arun)
                except BaseException as error:
                    if not is_the_tasks_own(error, cancelled=is_cancelled()):
                        raise
                    chain.fail(error)
            chain.leave()
        except BaseException as interruption:
            chain.unwind(interruption)
            raise
        return self._detailed(delivery, self._due_times.bounded(chain.outcome))

    def failed(self, delivery: Delivery, error: BaseException) -> Outcome:
        """What becomes of a delivery that ended in `error` outside the handler, e.g. with its process."""
        handler = self.handler_for(delivery)
        policy = handler.retry_policy if handler else self._retry_policy
        delivery = believed(delivery, self._clock.now())
        with redacting(self._redact):
            return self._detailed(delivery, self._due_times.bounded(self._decide(policy, delivery, error)))

    def _check(self, delivery: Delivery) -> tuple[Handler[ContextT], Message] | Outcome:
        """What can be decided without the payload: an outcome, or that the message is to be run, and by which task."""
        message = delivery.message
        if message is None:
            return self._dead(delivery, f"undecodable: {delivery.undecodable}")
        if self._signatures is not None and (unsigned := self._signatures.reason_against(delivery)) is not None:
            return self._dead(delivery, unsigned)
        handler = self._handlers.get(message.task)
        if self._strict_queues and handler is not None and delivery.queue not in handler.queues:
            return self._dead(delivery, not_of(handler, delivery.queue))
        policy = handler.retry_policy if handler else self._retry_policy
        without_end = delivery.deliveries - delivery.known_ends
        most = max(policy.max_deliveries, self._least_deliveries)
        if without_end > most:
            reason = f"worker died or lease expired: handed over {without_end - 1} times without an end"
            return self._dead(delivery, reason)
        early = None if message.not_before is None else self._due_times.decide(delivery, message.not_before)
        if isinstance(early, DeadLettered):
            return self._detailed(delivery, early)
        if handler is None:
            unknown = self._unknown.decide(delivery, message, known=self._handlers, without_end=without_end, most=most)
            return self._detailed(delivery, unknown)
        return early or (handler, message)

    def _load_limit(self, until: timedelta | None) -> timedelta:
        """How long a payload may take to be loaded here."""
        return LOAD_LIMIT if until is None else min(LOAD_LIMIT, max(timedelta(0), until - self._clock.elapsed()))

    def _prepare(
        self,
        delivery: Delivery,
        handler: Handler[ContextT],
        message: Message,
        lease_lost: Event | None,
        until: timedelta | None,
    ) -> tuple[Job[ContextT], Chain[ContextT], timedelta | None] | Outcome:
        """One job, ready to run, inside its middleware, and its time limit; or why it can't be run."""
        policy = handler.retry_policy
        try:
            limit = handler.time_limit
            if until is not None:
                left = max(timedelta(0), until - self._clock.elapsed())
                limit = left if limit is None else min(limit, left)
            deadline = None if limit is None else self._clock.now() + limit
            job = handler.bind(delivery, message, deadline=deadline, lease_lost=lease_lost or Event())
        except PayloadError as error:
            return self._dead(delivery, f"payload: {words_of(error)}", error)
        except Exception as error:  # noqa: BLE001 - a type's own validation code is the user's
            return self._detailed(delivery, self._due_times.bounded(self._decide(policy, delivery, error)))
        chain = Chain(self._middleware, job.context, lambda error: self._decide(policy, delivery, error))
        return job, chain, limit

    def _decide(self, policy: RetryPolicy, delivery: Delivery, error: BaseException) -> Outcome:
        sent_at = delivery.message.sent_at if delivery.message else None
        first_at = delivery.failure.first_at if delivery.failure else None
        now = self._clock.now()
        age = now - min(sent_at or now, first_at or now, now)
        try:
            decided: object = policy.decide(error, attempt=delivery.attempt, age=age)
        except BaseException as broken:
            # A user's strategy, even one that calls sys.exit, must not leave the delivery without an outcome.
            if is_ctrl_c(broken):
                raise
            reason = f"the retry policy raised {type(broken).__name__}: {words_of(broken)}"
            return DeadLettered(reason=reason, failure=Failure.of(reason, broken))
        if not isinstance(decided, Outcome):  # of a subclass: what nobody can settle would keep its worker's place
            reason = f"the retry policy decided on {type(decided).__name__}, which is no outcome"
            return DeadLettered(reason=reason, failure=Failure.of(reason, error))
        return decided

    def _dead(self, delivery: Delivery, reason: str, error: BaseException | None = None) -> Outcome:
        return self._detailed(delivery, DeadLettered(reason=reason, failure=Failure.of(reason, error)))

    def _detailed(self, delivery: Delivery, outcome: Outcome) -> Outcome:
        """Adds the counts and times to what failed; a middleware's own texts get their bounds here."""
        if isinstance(outcome, Acked):
            return outcome
        reason = bounded_reason(outcome.reason)
        if outcome.failure is None:
            return replace(outcome, reason=reason)
        now = self._clock.now()
        before = delivery.failure.first_at if delivery.failure else None
        failure = replace(
            outcome.failure.redacted(),
            attempts=min(delivery.attempt, LARGEST_COUNT),
            deliveries=min(delivery.deliveries, LARGEST_COUNT),
            first_at=before or now,
            last_at=now,
            worker=worker_name(),
            generation=_generation(delivery),
        )
        return replace(outcome, reason=reason, failure=failure)


class _Step:
    """What may block, for either kind of caller, and how long it may take."""

    __slots__ = ("arun", "limit", "run")

    def __init__(
        self, limit: timedelta | None, run: Callable[[], object], arun: Callable[[], Awaitable[object]]
    ) -> None:
        self.limit = limit
        self.run = run
        self.arun = arun


def _generation(delivery: Delivery) -> int:
    """Where the body can't say it, the details beside it do: a redrive leaves them there (semantics 1)."""
    if delivery.message is not None:
        return delivery.message.generation
    return delivery.failure.generation if delivery.failure else 0


def worker_name() -> str:
    """`host:pid` of this process, as dead letters name it. Not kept: a fork has its own."""
    return f"{socket.gethostname()}:{os.getpid()}"
