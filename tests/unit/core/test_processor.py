"""The Processor: from a delivery to an outcome, for sync and async tasks alike, whatever the task raises."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any

import pytest
import tenacity
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.claiming import Begun
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.details import worker_name
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.middleware import Middleware
from cloudq.core.outcome import ACKED, Acked, DeadLettered, Outcome, Retried, Snoozed, Why
from cloudq.core.policy import DeadLetter, Retry, RetryPolicy
from cloudq.core.processor import Processor
from cloudq.errors import PayloadError, TimeLimitExceeded, WorkerDied
from cloudq.testing.clock import FakeClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LEASE = Lease(queue="q", receipt=None, expires_at=NOW + timedelta(minutes=2), ends=timedelta(minutes=2))


class Context:
    """What the handler and the middleware see: here, a log of what ran."""

    def __init__(self, deadline: datetime | None, lease_lost: Event, claim: Begun | None) -> None:
        self.claim = claim
        self.ran: list[str] = []
        self.deadline = deadline
        self.lease_lost = lease_lost


class FakeJob:
    def __init__(self, context: Context, function: Callable[[Context], Any]) -> None:
        self.context = context
        self._function = function

    def run(self) -> object:
        self.context.ran.append("task")
        return self._function(self.context)

    async def arun(self) -> object:
        self.context.ran.append("task")
        result = self._function(self.context)
        return await result if asyncio.iscoroutine(result) else result


class FakeTask:
    """A declared task: binds to a job that calls the function with the context."""

    def __init__(
        self,
        function: Callable[[Context], Any] = lambda context: None,
        *,
        policy: RetryPolicy | None = None,
        time_limit: timedelta | None = None,
        binding_error: Exception | None = None,
    ) -> None:
        self.name = "t"
        self.is_async = False
        self.retry_policy = policy or RetryPolicy(wait=tenacity.wait_fixed(7))
        self.time_limit = time_limit
        self.contexts: list[Context] = []
        self._function = function
        self._binding_error = binding_error

    def bind(
        self,
        delivery: Delivery,
        message: Message,
        *,
        deadline: datetime | None,
        lease_lost: Event,
        claim: Begun | None = None,
    ) -> FakeJob:
        if self._binding_error is not None:
            raise self._binding_error
        self.contexts.append(Context(deadline, lease_lost, claim))
        return FakeJob(self.contexts[-1], self._function)

    @property
    def ran(self) -> list[str]:
        return self.contexts[-1].ran


def delivered(*, attempt: int = 1, deliveries: int = 1, failure: Failure | None = None, **fields: Any) -> Delivery:
    message = Message(**{"id": "id-1", "task": "t", "queue": "q", "sent_at": NOW, **fields})
    made = Delivery.of(
        wire.encode(message), native_id="n-1", runs=1, deliveries=deliveries, lease=LEASE, failure=failure
    )
    return replace(made, attempt=attempt)


def raising(error: BaseException) -> Callable[[Context], None]:
    def function(context: Context) -> None:
        raise error

    return function


class Run:
    """Processes a delivery, in one of the two ways."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.clock = FakeClock(NOW)

    def __call__(
        self, task: FakeTask | None, delivery: Delivery | None = None, *middleware: Middleware[Context], **options: Any
    ) -> Outcome:
        handlers = {} if task is None else {"t": task}
        processor: Processor[Context] = Processor(handlers, middleware=middleware, clock=self.clock, **options)
        delivery = delivery or delivered()
        if self.way == "async":
            return asyncio.run(processor.aprocess(delivery))
        return processor.process(delivery)


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    return Run(request.param)


def snoozed(outcome: Outcome) -> Snoozed:
    assert isinstance(outcome, Snoozed), outcome
    return outcome


def reason_of(outcome: Outcome) -> str:
    assert not isinstance(outcome, Acked)
    return outcome.reason


def dead(outcome: Outcome) -> DeadLettered:
    assert isinstance(outcome, DeadLettered), outcome
    return outcome


def retried(outcome: Outcome) -> Retried:
    assert isinstance(outcome, Retried), outcome
    return outcome


# ── what a task does ─────────────────────────────────────────────────────────────────────────────────────


def test_a_task_that_returns_is_acked(run: Run) -> None:
    """Whatever it returns."""
    task = FakeTask(lambda context: "anything")
    assert ACKED == run(task)
    assert ["task"] == task.ran


def test_a_task_that_raises_is_its_policys_business(run: Run) -> None:
    """Retried with the policy's wait, and with what is known of the failure."""
    error = ValueError("boom")
    outcome = retried(run(FakeTask(raising(error)), delivered(attempt=2, deliveries=3, generation=4)))
    assert (7 * SECOND, "ValueError: boom", True) == (outcome.delay, outcome.reason, outcome.counted)
    assert outcome.failure is not None
    assert replace(outcome.failure, traceback=None) == Failure(
        reason="ValueError: boom", error_type="ValueError", error_message="boom", attempts=2, deliveries=3,
        first_at=NOW, last_at=NOW, worker=worker_name(), generation=4,
    )  # fmt: skip
    assert outcome.failure.traceback is not None
    assert "in function" in outcome.failure.traceback


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeadLetter("never"), "never"),
        (SystemExit(3), "not retried: SystemExit: 3"),
        (TypeError("no"), "not retried: TypeError: no"),
    ],
)
def test_a_task_may_end_its_message(run: Run, error: BaseException, reason: str) -> None:
    """By `DeadLetter`, by leaving, or by an error that the policy doesn't retry."""
    policy = RetryPolicy(retry=tenacity.retry_if_exception_type(OSError))
    assert reason == dead(run(FakeTask(raising(error), policy=policy))).reason


def test_a_task_may_ask_to_be_retried(run: Run) -> None:
    """After the delay that it names."""
    outcome = retried(run(FakeTask(raising(Retry("later", delay=90 * SECOND)))))
    assert (90 * SECOND, "later") == (outcome.delay, outcome.reason)


def test_the_policy_sees_the_attempt_and_the_age(run: Run) -> None:
    """The delivery's attempt, and the time since the message was sent, by our clock."""
    seen: list[tuple[int, float | None]] = []

    def wait(state: tenacity.RetryCallState) -> float:
        seen.append((state.attempt_number, state.seconds_since_start))
        return 0.0

    task = FakeTask(raising(ValueError()), policy=RetryPolicy(wait=wait))
    run.clock.advance(10 * SECOND)
    run(task, delivered(attempt=3))
    run(task, delivered(sent_at=None))
    run(task, delivered(sent_at=NOW + 99 * SECOND))
    assert [(3, 10.0), (1, 0.0), (1, 0.0)] == seen


def test_a_policy_that_raises_dead_letters(run: Run) -> None:
    """A strategy's own error leaves no delivery without an outcome, and both errors are kept."""

    class Nasty(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def broken(state: tenacity.RetryCallState) -> float:
        raise Nasty

    outcome = dead(run(FakeTask(raising(KeyError("the task's own")), policy=RetryPolicy(wait=broken))))
    assert "the retry policy raised Nasty: <its text is unreadable: RuntimeError>" == outcome.reason
    assert outcome.failure.traceback is not None
    assert 'KeyError: "the task\'s own"' in outcome.failure.traceback


def test_a_policy_that_decides_nothing_dead_letters(run: Run) -> None:
    """A subclass's `decide` may lack a `return`: what nobody can settle would keep its worker's place for ever."""

    class Undecided(RetryPolicy):
        def decide(self, error: BaseException, *, attempt: int, age: timedelta) -> Any:
            return None

    outcome = dead(run(FakeTask(raising(KeyError("the task's own")), policy=Undecided())))
    assert "the retry policy decided on NoneType, which is no outcome" == outcome.reason
    assert outcome.failure.traceback is not None
    assert 'KeyError: "the task\'s own"' in outcome.failure.traceback


def test_the_first_failure_is_remembered(run: Run) -> None:
    """Its time is kept through all retries; the last one's is new."""
    first = NOW - timedelta(days=1)
    failure = Failure(reason="before", first_at=first, last_at=first, attempts=1, deliveries=1)
    outcome = retried(run(FakeTask(raising(ValueError())), delivered(attempt=2, failure=failure, sent_at=first)))
    assert outcome.failure is not None
    assert (first, NOW, 2) == (outcome.failure.first_at, outcome.failure.last_at, outcome.failure.attempts)


@pytest.mark.parametrize(
    ("first", "kept"),
    [
        (timedelta(days=-2), timedelta(days=-1)),
        (timedelta(hours=-1), timedelta(hours=-1)),
        (timedelta(days=9000), timedelta(0)),
    ],
)
def test_a_first_failure_lies_between_the_sending_and_now(run: Run, first: timedelta, kept: timedelta) -> None:
    """Whoever may send may write details: a message hasn't failed before it was sent, nor will it have."""
    failure = Failure(reason="before", first_at=NOW + first)
    delivery = delivered(attempt=2, failure=failure, sent_at=NOW - timedelta(days=1))
    outcome = retried(run(FakeTask(raising(ValueError())), delivery))
    assert outcome.failure is not None
    assert NOW + kept == outcome.failure.first_at


@pytest.mark.parametrize("sent_at", [None, NOW + timedelta(days=9_000)])
def test_a_policy_of_time_ends_without_a_time_of_sending(run: Run, sent_at: datetime | None) -> None:
    """A producer needn't give one, or gives one ahead of now: then the first failure begins the time."""
    task = FakeTask(raising(ValueError()), policy=RetryPolicy(stop=tenacity.stop_after_delay(3_600)))
    before = Failure(reason="before", first_at=NOW - timedelta(hours=2))
    assert "gave up" in dead(run(task, delivered(attempt=9, failure=before, sent_at=sent_at))).reason


def test_the_largest_attempt_leaves_details_that_can_be_read(run: Run) -> None:
    """Else a sender could hide why its message died."""
    outcome = dead(run(FakeTask(raising(DeadLetter("no"))), delivered(attempt=2**31)))
    assert outcome.failure == Failure.decode(outcome.failure.encode())
    assert 2**31 - 1 == outcome.failure.attempts


def test_details_of_a_sender_leave_the_backstop_alone(run: Run) -> None:
    """What a message's details say of its handings-over counts only where the driver itself wrote them."""
    forged = Failure(reason="before", deliveries=2**31 - 1)
    task = FakeTask(policy=RetryPolicy(max_deliveries=3))
    assert "worker died" in dead(run(task, delivered(deliveries=4, failure=forged))).reason


def test_no_retry_is_further_away_than_a_message_may_be(run: Run) -> None:
    """It would be dead-lettered where it comes."""
    task = FakeTask(raising(Retry(delay=timedelta(days=900))))
    assert timedelta(days=30) == retried(run(task, longest_delay=timedelta(days=30))).delay


def test_what_is_due_too_far_away_is_dead_lettered(run: Run) -> None:
    """Known or not; a hop renews its service's retention, so it would go round for ever."""
    for task in (FakeTask(), None):
        outcome = dead(run(task, delivered(not_before=NOW + timedelta(days=401))))
        assert "due in 401 d, which is further away than 400 d (longest_delay)" == outcome.reason


def test_an_unknown_task_s_patience_begins_when_it_is_due(run: Run) -> None:
    """Not before, however long that is; and it isn't taken for waiting when it comes."""
    due = NOW + timedelta(days=30)
    outcome = snoozed(run(None, delivered(not_before=due)))
    assert outcome.failure is not None
    assert (timedelta(days=30), due) == (outcome.delay, outcome.failure.unknown_since)
    run.clock.advance(timedelta(days=30, minutes=59))
    again = delivered(not_before=due, failure=outcome.failure, deliveries=2)
    assert due == snoozed(run(None, again)).failure.unknown_since  # type: ignore[union-attr]  # one that is unknown
    run.clock.advance(timedelta(minutes=2))
    assert "no program took it" in dead(run(None, again)).reason


def test_the_lease_lost_event_and_the_deadline_reach_the_context() -> None:
    """The edge's event, or one that is never set; the deadline is the time limit from now."""
    task = FakeTask(time_limit=30 * SECOND)
    processor: Processor[Context] = Processor({"t": task}, clock=FakeClock(NOW))
    lost = Event()
    processor.process(delivered(), lease_lost=lost)
    processor.process(delivered())
    assert [lost, NOW + 30 * SECOND] == [task.contexts[0].lease_lost, task.contexts[0].deadline]
    assert not task.contexts[1].lease_lost.is_set()


@pytest.mark.parametrize(("limit", "left"), [(None, 20), (30, 20), (10, 10)])
def test_a_tasks_time_ends_with_its_edge(limit: int | None, left: int) -> None:
    """An edge that ends at a known moment leaves no more than that; what is left is given to the time limiter."""
    task = FakeTask(time_limit=None if limit is None else limit * SECOND)
    limits: list[timedelta] = []

    def limiter(limit: timedelta) -> AbstractContextManager[None]:
        limits.append(limit)
        return nullcontext()

    clock = FakeClock(NOW)
    until = clock.elapsed() + 20 * SECOND
    processor: Processor[Context] = Processor({"t": task}, clock=clock, time_limiter=limiter)
    processor.process(delivered(), until=until)
    assert (NOW + left * SECOND, [left * SECOND]) == (task.contexts[0].deadline, limits)


def test_an_async_tasks_time_ends_with_its_edge() -> None:
    """Whose end is now: it is stopped at its first pause."""
    task = FakeTask(lambda context: asyncio.sleep(20))
    clock = FakeClock(NOW)
    clock.advance(2 * SECOND)
    processor: Processor[Context] = Processor({"t": task}, clock=clock)
    outcome = retried(asyncio.run(processor.aprocess(delivered(), until=SECOND)))
    assert outcome.reason.startswith("TimeLimitExceeded: ")


# ── poison, and what isn't run ───────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_decoded_is_dead_lettered(run: Run) -> None:
    """With the decoder's reason; there is no message to count generations by."""
    delivery = Delivery.of(b"hello", native_id="n-1", runs=1, deliveries=2, lease=LEASE)
    outcome = dead(run(FakeTask(), delivery))
    assert outcome.reason.startswith("undecodable: the body isn't JSON: ")
    assert (2, 0, None) == (outcome.failure.deliveries, outcome.failure.generation, outcome.failure.error_type)


def test_what_cannot_be_decoded_keeps_the_generation_beside_it(run: Run) -> None:
    """So that a redriven body which still can't be read dies under a new name (semantics 1)."""
    failure = Failure(reason="before", generation=4)
    delivery = Delivery.of(b"hello", native_id="n-1", runs=1, deliveries=1, lease=LEASE, failure=failure)
    assert 4 == dead(run(FakeTask(), delivery)).failure.generation


NO_PATIENCE = {"unknown_task_patience": timedelta(0)}


def test_an_unknown_task_is_dead_lettered_with_a_suggestion(run: Run) -> None:
    """At once where there is no patience. It names the task, and the nearest that there is."""
    outcome = dead(run(FakeTask(), delivered(task="tt"), **NO_PATIENCE))
    assert "unknown task 'tt': did you mean 't'?" == outcome.reason
    assert "unknown task 't': none is declared" == dead(run(None, **NO_PATIENCE)).reason


def test_an_unknown_task_goes_back_at_first_sight(run: Run) -> None:
    """Uncounted, with its counts, for somebody who knows it; what is known of it is in `core.unknown`."""
    outcome = run(FakeTask(), delivered(task="tt", attempt=3, deliveries=4))
    assert isinstance(outcome, Snoozed)
    assert (False, NOW) == (outcome.counted, outcome.failure and outcome.failure.unknown_since)
    assert (3, 4) == (outcome.failure.attempts, outcome.failure.deliveries)


def test_the_name_of_an_unknown_task_is_shown_in_part(run: Run) -> None:
    """A name of any length ends in a reason of bounded length."""
    outcome = dead(run(FakeTask(), delivered(task="x" * 100_000), **NO_PATIENCE))
    assert f"unknown task '{'x' * 200}': known: t" == outcome.reason


def test_a_payload_that_does_not_fit_is_dead_lettered(run: Run) -> None:
    """At once: it will not fit next time either."""
    outcome = dead(run(FakeTask(binding_error=PayloadError("t: user_id: expected int", field="user_id"))))
    assert "payload: t: user_id: expected int" == outcome.reason
    assert "cloudq.errors.PayloadError" == outcome.failure.error_type


def test_an_error_of_a_types_own_code_is_the_policys_business(run: Run) -> None:
    """A `__post_init__` that asks a database may succeed next time."""
    outcome = retried(run(FakeTask(binding_error=OSError("no database"))))
    assert "OSError: no database" == outcome.reason


def test_a_time_limit_beyond_the_calendar_is_a_failure(run: Run) -> None:
    """No delivery is left without an outcome, whatever its task declares."""
    assert "OverflowError: date value out of range" == reason_of(run(FakeTask(time_limit=timedelta.max)))


@pytest.mark.parametrize("deliveries", [4, 5])
def test_a_message_that_keeps_killing_its_worker_is_dead_lettered(run: Run, deliveries: int) -> None:
    """More handings-over than `max_deliveries`, none of which ended: it isn't run again (semantics 4)."""
    task = FakeTask(policy=RetryPolicy(max_deliveries=3))
    assert ACKED == run(task, delivered(deliveries=3))
    outcome = dead(run(task, delivered(deliveries=deliveries)))
    assert f"worker died or lease expired: handed over {deliveries - 1} times without an end" == outcome.reason
    assert 1 == len(task.contexts)


def test_an_edge_may_raise_the_backstop(run: Run) -> None:
    """Where much of what is handed over is handed back, a policy's own limit is too low; a higher one stays."""
    low, high = FakeTask(policy=RetryPolicy(max_deliveries=3)), FakeTask(policy=RetryPolicy(max_deliveries=30))
    assert ACKED == run(low, delivered(deliveries=10), least_deliveries=10)
    assert "worker died" in dead(run(low, delivered(deliveries=11), least_deliveries=10)).reason
    assert ACKED == run(high, delivered(deliveries=30), least_deliveries=10)


@pytest.mark.parametrize(("ended", "is_dead"), [(97, False), (96, True)])
def test_handings_over_that_ended_in_a_failure_killed_nobody(run: Run, ended: int, is_dead: bool) -> None:
    """A task that is long retried in place isn't taken for one that kills."""
    task = FakeTask(policy=RetryPolicy(stop=tenacity.stop_never, max_deliveries=3))
    outcome = run(task, replace(delivered(deliveries=100), known_ends=ended))
    assert is_dead == isinstance(outcome, DeadLettered)


def test_the_backstop_holds_for_unknown_tasks_too(run: Run) -> None:
    """By the app's own policy."""
    outcome = run(None, delivered(deliveries=2), retry_policy=RetryPolicy(max_deliveries=1))
    assert "worker died or lease expired: handed over 1 times without an end" == reason_of(outcome)


def test_a_message_that_is_not_due_is_sent_on(run: Run) -> None:
    """For the rest of its time, without using up an attempt, without running; unknown tasks are told of at once."""
    task = FakeTask()
    expected = Snoozed(delay=timedelta(hours=1), why=Why.NOT_DUE, reason="not due yet")
    assert expected == run(task, delivered(not_before=NOW + timedelta(hours=1)))
    unknown = snoozed(run(None, delivered(not_before=NOW + timedelta(hours=1))))
    assert ("unknown task 't': none is declared", False) == (unknown.reason, unknown.counted)
    assert timedelta(hours=1) == unknown.delay
    assert [] == task.contexts


@pytest.mark.parametrize("early", [timedelta(0), -timedelta(hours=1), SECOND])
def test_a_message_that_is_due_is_run(run: Run, early: timedelta) -> None:
    """A second's difference between two clocks doesn't send it round again."""
    assert ACKED == run(FakeTask(), delivered(not_before=NOW + early))


def test_the_handler_for_a_delivery() -> None:
    """The edge asks which task it is, to choose a thread, a loop or a process; poison has none."""
    task = FakeTask()
    processor: Processor[Context] = Processor({"t": task})
    poison = Delivery.of(b"", native_id="n", runs=1, deliveries=1, lease=LEASE)
    found = [processor.handler_for(delivery) for delivery in (delivered(), delivered(task="x"), poison)]
    assert [task, None, None] == found


@pytest.mark.parametrize("known", [True, False])
def test_a_delivery_that_ended_outside_its_handler_gets_an_outcome(known: bool) -> None:
    """A process that died is a failure like any other, with all details."""
    policy = RetryPolicy(wait=tenacity.wait_fixed(7))
    handlers = {"t": FakeTask(policy=policy)} if known else {}
    processor: Processor[Context] = Processor(handlers, clock=FakeClock(NOW), retry_policy=policy)
    outcome = retried(processor.failed(delivered(attempt=2), WorkerDied("killed by signal 9")))
    assert ("WorkerDied: killed by signal 9", 7 * SECOND) == (outcome.reason, outcome.delay)
    assert outcome.failure is not None
    assert (2, NOW) == (outcome.failure.attempts, outcome.failure.last_at)


# ── middleware ───────────────────────────────────────────────────────────────────────────────────────────


def around(name: str) -> Middleware[Context]:
    """Logs before and after, and changes nothing."""

    def middleware(context: Context) -> Generator[None, Outcome, Outcome]:
        context.ran.append(f"{name} before")
        outcome = yield
        context.ran.append(f"{name} after {type(outcome).__name__}")
        return outcome

    return middleware


def test_middleware_runs_from_the_outside_in_and_back(run: Run) -> None:
    """The first is the outermost, and each sees the outcome of what is inside it."""
    task = FakeTask()
    assert ACKED == run(task, None, around("a"), around("b"))
    assert ["a before", "b before", "task", "b after Acked", "a after Acked"] == task.ran


def test_middleware_sees_a_failure_as_an_outcome(run: Run) -> None:
    """The task's error is not raised in it; what the policy made of it arrives."""
    task = FakeTask(raising(ValueError()))
    retried(run(task, None, around("a")))
    assert "a after Retried" == task.ran[-1]


def test_middleware_may_change_the_outcome(run: Run) -> None:
    """What it returns counts, and what is outside of it sees that; missing details are filled in."""

    def to_dead(context: Context) -> Generator[None, Outcome, Outcome]:
        yield
        return DeadLettered(reason="I say so", failure=Failure(reason="I say so"))

    task = FakeTask()
    outcome = dead(run(task, delivered(attempt=2), around("a"), to_dead))
    assert "a after DeadLettered" == task.ran[-1]
    assert ("I say so", 2, NOW) == (outcome.reason, outcome.failure.attempts, outcome.failure.first_at)


def test_a_snooze_of_a_middleware_stays_as_it_is(run: Run) -> None:
    """Nothing went wrong, so there is no failure to fill in."""

    def snooze(context: Context) -> Generator[None, Outcome, Outcome]:
        return Retried(delay=SECOND, reason="claimed", counted=False)
        yield

    assert Retried(delay=SECOND, reason="claimed", counted=False) == run(FakeTask(), None, snooze)


def test_middleware_may_skip_the_task(run: Run) -> None:
    """By returning before the yield: those outside it go on, those inside it and the task never start."""

    def skip(context: Context) -> Generator[None, Outcome, Outcome]:
        return ACKED
        yield

    task = FakeTask()
    assert ACKED == run(task, None, around("a"), skip, around("b"))
    assert ["a before", "a after Acked"] == task.ran


def test_middleware_that_forgets_to_return_keeps_the_outcome(run: Run) -> None:
    """After the yield, no return means no change."""

    def forgets(context: Context) -> Iterator[None]:
        yield

    assert ACKED == run(FakeTask(), None, forgets)  # type: ignore[arg-type]  # that's the point
    retried(run(FakeTask(raising(ValueError())), None, forgets))  # type: ignore[arg-type]  # that's the point


def broken(kind: str) -> Middleware[Context]:
    def odd(context: Context) -> Generator[None, Any, Any]:
        if kind == "raises before":
            raise ValueError("before")
        if kind == "exits before":
            raise SystemExit(1)
        if kind == "returns nothing before":
            return None
        if kind == "returns a text before":
            return "text"
        outcome = yield
        if kind == "raises after":
            raise ValueError("after")
        if kind == "exits after":
            raise SystemExit(1)
        if kind == "returns a text after":
            return "text"
        try:
            yield  # twice
        finally:
            if kind == "yields twice and raises when closed":
                raise ValueError("closed")
        return outcome

    return odd


@pytest.mark.parametrize(
    ("kind", "reason", "runs"),
    [
        ("raises before", "ValueError: before", 0),
        ("exits before", "not retried: SystemExit: 1", 0),
        ("returns nothing before", "TypeError: the middleware broken.<locals>.odd returned None, not an Outcome", 0),
        ("returns a text before", "TypeError: the middleware broken.<locals>.odd returned 'text', not an Outcome", 0),
        ("raises after", "ValueError: after", 1),
        ("exits after", "not retried: SystemExit: 1", 1),
        ("returns a text after", "TypeError: the middleware broken.<locals>.odd returned 'text', not an Outcome", 1),
        ("yields twice", "TypeError: the middleware broken.<locals>.odd yielded twice", 1),
        ("yields twice and raises when closed", "TypeError: the middleware broken.<locals>.odd yielded twice", 1),
    ],
)  # fmt: skip
def test_a_broken_middleware_is_a_failure_of_its_task(run: Run, kind: str, reason: str, runs: int) -> None:
    """Before or after: never acked, never lost, and those outside it see the outcome."""
    task = FakeTask()
    outcome = run(task, None, around("a"), broken(kind))
    assert reason == reason_of(outcome)
    assert ["a before", *["task"] * runs, f"a after {type(outcome).__name__}"] == task.ran


def test_what_is_no_generator_function_is_a_failure(run: Run) -> None:
    """A middleware without a yield can't be driven."""
    assert "gave None, not a generator" in reason_of(run(FakeTask(), None, lambda context: None))  # type: ignore[arg-type, return-value]  # that's the point


# ── interruptions ────────────────────────────────────────────────────────────────────────────────────────


def tidying(name: str, *, raises: bool = False) -> Middleware[Context]:
    def middleware(context: Context) -> Generator[None, Outcome, Outcome]:
        try:
            return (yield)
        finally:
            context.ran.append(f"{name} tidied up")
            if raises:
                raise ValueError("can't tidy up")

    return middleware


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, GeneratorExit])
def test_an_interruption_is_passed_on_after_the_middleware_tidied_up(
    run: Run, interruption: type[BaseException]
) -> None:
    """From the inside out, at once; what goes wrong meanwhile is a note on it, and doesn't take its place."""
    task = FakeTask(raising(interruption()))
    with pytest.raises(interruption) as raised:
        run(task, None, tidying("a"), tidying("b", raises=True))
    assert ["task", "b tidied up", "a tidied up"] == task.ran
    expected = 'the middleware tidying.<locals>.middleware raised ValueError("can\'t tidy up") while it was closed'
    assert [expected] == raised.value.__notes__


def test_an_interruption_within_a_middleware_lets_the_others_tidy_up(run: Run) -> None:
    """Also one that comes before the task started."""

    def interrupted(context: Context) -> Generator[None, Outcome, Outcome]:
        raise KeyboardInterrupt
        yield

    task = FakeTask()
    with pytest.raises(KeyboardInterrupt):
        run(task, None, tidying("a"), interrupted)
    assert ["a tidied up"] == task.ran


def test_a_cancellation_from_within_is_a_failure(run: Run) -> None:
    """Something that the task awaited was cancelled, not the task: it is retried, not left without an outcome."""
    assert "CancelledError" == retried(run(FakeTask(raising(asyncio.CancelledError())))).reason


def cancelled_while_running(task: FakeTask, *middleware: Middleware[Context]) -> Outcome:
    """Cancels the processing once the task runs."""

    async def main() -> Outcome:
        processor: Processor[Context] = Processor({"t": task}, middleware=middleware, clock=FakeClock(NOW))
        processing = asyncio.create_task(processor.aprocess(delivered()))
        while not (task.contexts and "task" in task.ran):
            await asyncio.sleep(0)
        processing.cancel()
        return await processing

    return asyncio.run(main())


async def for_ever(context: Context) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        context.ran.append("cancelled")


def test_cancelling_cancels_the_handler_and_is_passed_on() -> None:
    """The handler ends first, then the middleware tidies up, then the edge sees the cancellation."""
    task = FakeTask(for_ever)
    with pytest.raises(asyncio.CancelledError):
        cancelled_while_running(task, tidying("a"))
    assert ["task", "cancelled", "a tidied up"] == task.ran


def test_a_handler_that_turns_its_cancellation_into_an_error_has_failed() -> None:
    """Then there is an outcome, as for any error."""

    async def turns(context: Context) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("on the way out") from None

    assert "ValueError: on the way out" == reason_of(cancelled_while_running(FakeTask(turns)))


def test_a_handler_that_finishes_in_spite_of_its_cancellation_is_acked() -> None:
    """Finished work is not repeated."""

    async def finishes(context: Context) -> None:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()

    assert ACKED == cancelled_while_running(FakeTask(finishes))


# ── time limits ──────────────────────────────────────────────────────────────────────────────────────────


def async_outcome(function: Callable[[Context], Any], limit: timedelta) -> Outcome:
    processor: Processor[Context] = Processor({"t": FakeTask(function, time_limit=limit)}, clock=FakeClock(NOW))
    return asyncio.run(processor.aprocess(delivered()))


def test_an_async_task_is_ended_at_its_time_limit() -> None:
    """The handler is cancelled, and the failure says which limit it was."""
    seen: list[str] = []

    async def slow(context: Context) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    outcome = retried(async_outcome(slow, timedelta(milliseconds=1)))
    assert "TimeLimitExceeded: the task ran longer than its time limit of 0:00:00.001000" == outcome.reason
    assert ["cancelled"] == seen


def test_an_async_task_within_its_time_limit_is_acked() -> None:
    """The limit leaves no trace."""
    assert ACKED == async_outcome(for_no_time, timedelta(hours=1))


async def for_no_time(context: Context) -> None:
    await asyncio.sleep(0)


def test_a_tasks_own_timeout_is_its_own() -> None:
    """A `TimeoutError` that the handler raises is not taken for the time limit."""
    outcome = retried(async_outcome(raising(TimeoutError("the database")), timedelta(hours=1)))
    assert "TimeoutError: the database" == outcome.reason


def test_an_async_task_that_finishes_after_its_limit_is_acked() -> None:
    """One that catches the cancellation and ends well is done."""

    async def finishes(context: Context) -> None:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()

    assert ACKED == async_outcome(finishes, timedelta(milliseconds=1))


@contextmanager
def limiter(limit: timedelta, seen: list[object]) -> Iterator[None]:
    """A limiter whose time is always over, once the block has ended."""
    seen.append(limit)
    yield
    raise TimeLimitExceeded(f"longer than {limit}")


def test_a_sync_task_is_guarded_by_the_edges_limiter() -> None:
    """It gets the limit, and what it raises is the task's failure."""
    seen: list[object] = []
    processor: Processor[Context] = Processor(
        {"t": FakeTask(time_limit=30 * SECOND)}, clock=FakeClock(NOW), time_limiter=partial(limiter, seen=seen)
    )
    outcome = retried(processor.process(delivered()))
    assert ("TimeLimitExceeded: longer than 0:00:30", [30 * SECOND]) == (outcome.reason, seen)


def test_without_a_limit_the_limiter_is_not_asked() -> None:
    """No limit, no guard."""
    seen: list[object] = []
    processor: Processor[Context] = Processor({"t": FakeTask()}, time_limiter=partial(limiter, seen=seen))
    assert (ACKED, []) == (processor.process(delivered()), seen)


def test_by_default_a_sync_time_limit_is_the_hosts_business() -> None:
    """Where the host ends what runs too long (a function's own timeout), nothing guards."""
    processor: Processor[Context] = Processor({"t": FakeTask(time_limit=SECOND)})
    assert ACKED == processor.process(delivered())


# ── the worker's name ────────────────────────────────────────────────────────────────────────────────────


def test_a_worker_is_named_by_host_and_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of now: a forked child is not its parent."""
    assert worker_name() == f"{socket.gethostname()}:{os.getpid()}"
    monkeypatch.setattr(os, "getpid", lambda: 4242)
    assert worker_name().endswith(":4242")


TOLD = "postgres://u:S3CRET@db"


def of_a_middleware(outcome: Outcome) -> Middleware[Context]:
    def instead(_context: Context) -> Generator[None, Outcome, Outcome]:
        yield
        return outcome

    return instead


RAW = Failure(reason=TOLD, error_message=TOLD)


@pytest.mark.parametrize(
    "outcome",
    [
        DeadLettered(reason=TOLD + "x" * 2_000, failure=RAW),
        Retried(delay=timedelta(0), reason=TOLD + "x" * 2_000, failure=RAW),
        Retried(delay=timedelta(0), reason=TOLD + "x" * 2_000),
    ],
)
def test_a_middlewares_own_outcome_has_no_secret_and_is_bounded(run: Run, outcome: Outcome) -> None:
    """What a middleware made of it is kept and logged as an error's own texts are."""
    made = run(FakeTask(), None, of_a_middleware(outcome))
    assert not isinstance(made, Acked)
    assert "S3CRET" not in repr(made)
    assert 1_000 == len(made.reason)


def test_redact_is_the_apps_own(run: Run) -> None:
    """In force during a run, for all that it makes of the error; and for what ended outside of it."""
    failed = ValueError("of tenant-7")
    outcome = run(FakeTask(raising(failed)), redact=lambda text: text.replace("tenant-7", "T"))
    assert isinstance(outcome, Retried)
    assert ("ValueError: of T", "of T") == (outcome.reason, outcome.failure and outcome.failure.error_message)
    assert "tenant" not in repr(outcome)
    processor: Processor[Context] = Processor({}, clock=FakeClock(NOW), redact=str.upper)
    assert "VALUEERROR: OF TENANT-7" == reason_of(processor.failed(delivered(), failed))
