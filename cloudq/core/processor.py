"""`Processor`: from a delivery to an outcome. The one path that every edge ends in.

```
Delivery ─▶ poison? signed? expired? due? known? … ─▶ payload ─▶ claim ─┐
       Outcome ◀─ claim's end ◀─ policy ◀─ handler ◀─ middleware ◀───────┘
```
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import partial
from threading import Event
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from cloudq.core.blocking import Step, TimeLimiter, arun_steps, run_steps
from cloudq.core.cancellation import is_being_cancelled, is_never_cancelled, is_the_tasks_own
from cloudq.core.claim_steps import ClaimSteps
from cloudq.core.claiming import Begun, Claims
from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.delivery import Delivery, believed
from cloudq.core.details import Details
from cloudq.core.due_times import LONGEST_DELAY, DueTimes
from cloudq.core.event_headers import TRACEPARENT
from cloudq.core.failure import Failure, words_of
from cloudq.core.first_look import FirstLook
from cloudq.core.handler import Handler, Job
from cloudq.core.loading import LOAD_LIMIT, not_loaded, off_the_loop
from cloudq.core.message import Message
from cloudq.core.middleware import Chain, Middleware
from cloudq.core.outcome import OUTCOMES, DeadLettered, Decided, Expired, Outcome, Snoozed
from cloudq.core.patience import PATIENCE, Patience
from cloudq.core.policy import RetryPolicy
from cloudq.core.redaction import Redact, mask_secrets, redacting
from cloudq.core.run_fields import RunFields, note_error
from cloudq.core.safe_log import is_ctrl_c
from cloudq.core.signature_check import SignatureCheck
from cloudq.core.store_watch import StoreWatch
from cloudq.core.unknown import UNKNOWN_TASK_PATIENCE
from cloudq.errors import PayloadError

ContextT = TypeVar("ContextT")

EndLog: TypeAlias = Callable[[Delivery, Outcome, RunFields, Event], None]
"""Logs what becomes of a delivery, within its fields: with the event that is set once its lease is over."""


class _Work(NamedTuple, Generic[ContextT]):
    """What is run: see `Processor.process`."""

    delivery: Delivery
    handler: Handler[ContextT]
    message: Message
    lease_lost: Event
    until: timedelta | None


def no_time_limit(limit: timedelta) -> AbstractContextManager[None]:
    """For edges whose host ends what runs too long."""
    del limit
    return nullcontext()


class Processor(Generic[ContextT]):
    """Turns deliveries into outcomes. Holds no delivery, never raises for one, does no I/O of its own.

    A payload that didn't travel in its message is loaded by the handler: here, for an async task on its own thread.

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
        claims: Claims idempotency keys before a task runs; `None`: nothing is claimed.
        patience: How long a message may be snoozed for the same thing, before it is dead-lettered.
        log_end: Logs what becomes of each delivery, where it is decided; `None`: nobody does.
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
        claims: Claims | None = None,
        patience: timedelta = PATIENCE,
        log_end: EndLog | None = None,
    ) -> None:
        self._handlers = handlers
        self._middleware = tuple(middleware)
        self._retry_policy = retry_policy or RetryPolicy()
        self._clock = clock
        self._time_limiter = time_limiter
        self._due_times = DueTimes(longest_delay, clock)
        self._redact = redact
        self._details = Details(clock)
        self._first_look = FirstLook(
            handlers,
            retry_policy=self._retry_policy,
            least_deliveries=least_deliveries,
            unknown_task_patience=unknown_task_patience,
            signatures=signatures,
            strict_queues=strict_queues,
            due_times=self._due_times,
            details=self._details,
            clock=clock,
        )
        self._patience = Patience(patience, clock)
        self._log_end = log_end
        self._claims = None if claims is None else ClaimSteps(claims, clock)

    @property
    def store_watch(self) -> StoreWatch | None:
        """Whether the store of idempotency keys is down; `None` where nothing is claimed."""
        return None if self._claims is None else self._claims.watch

    def believes(self, delivery: Delivery) -> bool:
        """Whether its message may be believed, as far as signatures go."""
        return self._first_look.believes(delivery)

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
        lost = lease_lost or Event()
        with redacting(self._redact), self.run_fields(delivery) as fields:
            outcome = run_steps(self._steps(delivery, lost, until, is_never_cancelled), self._time_limiter)
            return self._logged(delivery, outcome, fields, lost)

    async def aprocess(
        self, delivery: Delivery, *, lease_lost: Event | None = None, until: timedelta | None = None
    ) -> Outcome:
        """As `process`, for an async task.

        Cancelling it cancels the handler and passes the cancellation on. A `CancelledError` that the handler raises
        though nobody cancelled it (something that it awaited was) is an error like any other.
        """
        lost = lease_lost or Event()
        with redacting(self._redact), self.run_fields(delivery) as fields:
            outcome = await arun_steps(self._steps(delivery, lost, until, is_being_cancelled), self._clock)
            return self._logged(delivery, outcome, fields, lost)

    def run_fields(self, delivery: Delivery) -> RunFields:
        """What everything carries that is logged while the delivery is worked on."""
        message = delivery.message
        if message is None:
            return RunFields(None, delivery.id, delivery.queue, delivery.attempt)
        trace = message.headers.get(TRACEPARENT) if message.headers else None
        return RunFields(message.task, delivery.id, delivery.queue, delivery.attempt, trace)

    def _logged(self, delivery: Delivery, outcome: Outcome, fields: RunFields, lost: Event) -> Outcome:
        if self._log_end is not None:
            self._log_end(delivery, outcome, fields, lost)
        return outcome

    def _steps(  # noqa: PLR0912 - one way, told in its order
        self,
        delivery: Delivery,
        lease_lost: Event,
        until: timedelta | None,
        is_cancelled: Callable[[], bool],
    ) -> Generator[Step, Any, Outcome]:
        """The way of one delivery. Yields what may block, to be sent its result or thrown its error."""
        handed_over = delivery
        if delivery.failure is not None:
            delivery = believed(delivery, self._clock.now())
        delivery = self._patience.recall(delivery)
        checked = self._first_look.decide(delivery)
        if not isinstance(checked, tuple):
            return self._final(delivery, checked, handed_over)
        handler, message = checked
        if message.reference is not None:
            load = partial(handler.load, message)
            try:
                message = yield Step(self._load_limit(until), load, partial(off_the_loop, load))
            except Exception as error:  # noqa: BLE001 - a store's package may raise anything
                note_error(error)
                return self._final(delivery, not_loaded(delivery, error, self._clock.now()), handed_over)
        work = _Work(delivery, handler, message, lease_lost, until)
        claims = self._claims if self._claims is not None and self._claims.concern(handler, message) else None
        claim = None if claims is None else (yield from self._claim(claims, work))
        if isinstance(claim, OUTCOMES):
            return self._final(delivery, claim, handed_over)
        if delivery.failure is not None:
            work = work._replace(delivery=self._patience.over(delivery))  # it waits no more
        try:
            result, prepared = None, self._prepare(work, claim)
            if isinstance(prepared, tuple):
                job, chain, time_limit = prepared
                try:
                    if chain.enter():
                        # No `yield from`: that keeps a GeneratorExit of the task's from whom it is raised in.
                        try:
                            result = chain.take((yield Step(time_limit, job.run, job.arun)))
                        except BaseException as error:
                            if not is_the_tasks_own(error, cancelled=is_cancelled()):
                                raise
                            chain.fail(error)
                    chain.leave()
                except BaseException as interruption:
                    chain.unwind(interruption)
                    raise
                prepared = self._due_times.bounded(chain.outcome)
            if claim is not None and claims is not None:
                prepared = yield from claims.end(claim, prepared, result, delivery)
        except BaseException:
            if claim is not None:
                claim.give_up()
            raise
        # What is snoozed again goes on waiting: since when is known of the delivery as it came.
        ended = delivery if isinstance(prepared, Snoozed) else work.delivery
        final = self._details.of(ended, self._patience.bounded(ended, prepared, handed_over))
        return final if final.__class__ is prepared.__class__ and claim is not None else self._told(ended, final)

    def _final(self, delivery: Delivery, outcome: Outcome, handed_over: Delivery) -> Outcome:
        return self._told(delivery, self._details.of(delivery, self._patience.bounded(delivery, outcome, handed_over)))

    def _told(self, delivery: Delivery, outcome: Outcome) -> Outcome:
        """The outcome. The store learns of what ended without a run that said so; what isn't signed may name any."""
        if isinstance(outcome, (DeadLettered, Expired)) and self._claims is not None and self.believes(delivery):
            self._claims.unrun(delivery, outcome)
        return outcome

    def _claim(self, claims: ClaimSteps, work: _Work[ContextT]) -> Generator[Step, Any, Begun | Outcome | None]:
        """The claim of a message that has a key; or what becomes of the delivery without a run."""
        delivery, handler, message, lease_lost, until = work
        try:
            return (yield from claims.begin(handler, message, delivery, lease_lost, until))
        except Exception as error:  # noqa: BLE001 - no fault of the store, so the message's, or its key's
            return self._due_times.bounded(self._decide(handler.retry_policy, delivery, error))

    def failed(self, delivery: Delivery, error: BaseException, *, ran: timedelta = timedelta(0)) -> Outcome:
        """What becomes of a delivery that ended in `error` outside the handler, e.g. with its process.

        Args:
            delivery: The delivery.
            error: What ended it.
            ran: For how long it was worked on by then.
        """
        handler = self.handler_for(delivery)
        policy = handler.retry_policy if handler else self._retry_policy
        delivery = self._patience.over(self._patience.recall(believed(delivery, self._clock.now())))
        with redacting(self._redact), self.run_fields(delivery) as fields:
            fields.began -= ran.total_seconds()
            outcome = self._due_times.bounded(self._decide(policy, delivery, error))
            outcome = self._told(delivery, self._details.of(delivery, outcome))
            return self._logged(delivery, outcome, fields, Event())

    def _load_limit(self, until: timedelta | None) -> timedelta:
        """How long a payload may take to be loaded here."""
        return LOAD_LIMIT if until is None else min(LOAD_LIMIT, max(timedelta(0), until - self._clock.elapsed()))

    def _prepare(
        self, work: _Work[ContextT], claim: Begun | None
    ) -> tuple[Job[ContextT], Chain[ContextT], timedelta | None] | Outcome:
        """One job, ready to run, inside its middleware, and its time limit; or why it can't be run."""
        delivery, handler, message, lease_lost, until = work
        policy = handler.retry_policy
        try:
            limit = handler.time_limit
            if until is not None:
                left = max(timedelta(0), until - self._clock.elapsed())
                limit = left if limit is None else min(limit, left)
            deadline = None if limit is None else self._clock.now() + limit
            job = handler.bind(delivery, message, deadline=deadline, lease_lost=lease_lost, claim=claim)
        except PayloadError as error:
            note_error(error)
            reason = f"payload: {words_of(error)}"
            return DeadLettered(reason=reason, failure=Failure.of(reason, error))
        except Exception as error:  # noqa: BLE001 - a type's own validation code is the user's
            return self._due_times.bounded(self._decide(policy, delivery, error))
        chain = Chain(self._middleware, job.context, lambda error: self._decide(policy, delivery, error))
        return job, chain, limit

    def _decide(self, policy: RetryPolicy, delivery: Delivery, error: BaseException) -> Outcome:
        note_error(error)
        sent_at = delivery.message.sent_at if delivery.message else None
        first_at = delivery.failure.first_at if delivery.failure else None
        if isinstance(error, Decided):
            return error.outcome
        now = self._clock.now()
        since = min(sent_at or now, first_at or now, now)
        waited = delivery.failure.waited if delivery.failure else timedelta(0)
        if self._claims is not None:
            waited = max(waited, self._claims.watch.lasted_since(since))
        age = max(timedelta(0), now - since - waited)
        try:
            decided: object = policy.decide(error, attempt=delivery.attempt, age=age)
        except BaseException as broken:
            # A user's strategy, even one that calls sys.exit, must not leave the delivery without an outcome.
            if is_ctrl_c(broken):
                raise
            reason = f"the retry policy raised {type(broken).__name__}: {words_of(broken)}"
            return DeadLettered(reason=reason, failure=Failure.of(reason, broken))
        if not isinstance(decided, OUTCOMES):  # of a subclass: what nobody can settle would keep its worker's place
            reason = f"the retry policy decided on {type(decided).__name__}, which is no outcome"
            decided = DeadLettered(reason=reason, failure=Failure.of(reason, error))
        return decided
