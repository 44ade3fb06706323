"""`run_all`: works off everything that an app in memory has, as a worker would, without waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec

from cloudq.app import App
from cloudq.core.delivery import Delivery
from cloudq.core.driver import DeadMessage, Final
from cloudq.core.handler import Handler
from cloudq.core.message import Message, is_dead_letter_queue
from cloudq.core.observing import age_at
from cloudq.core.outcome import Acked, DeadLettered, Outcome, Retried, Snoozed, ending_of
from cloudq.core.plan import plan
from cloudq.core.processor import Processor
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError
from cloudq.running.claims import StoreClaims
from cloudq.running.noted_runs import NotedRuns
from cloudq.running.processing import kind_of_processor
from cloudq.tasks.async_libraries import context_for_a_thread, in_a_loop
from cloudq.tasks.context import Context
from cloudq.tasks.eager import Witness
from cloudq.tasks.own_loop import connections_executor, django_is_loaded, lent, run_in_own_loop, run_off_the_loop
from cloudq.testing.clock import FakeClock
from cloudq.testing.memory import memory_of

# Nobody renews the leases here, and a test may move the clock while a task runs.
LEASE = timedelta(days=365)
NO_WAIT = timedelta(0)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
MAX_RUNS = 10_000


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery that was worked off.

    Attributes:
        task: The task's name as the message gives it, or `None` where the body can't be decoded.
        message: The message, or `None` where the body can't be decoded.
        attempt: The number of the run, from 1.
        outcome: What became of it.
        error: What the task raised, or `None`.
    """

    task: str | None
    message: Message | None
    attempt: int
    outcome: Outcome
    error: BaseException | None = None

    def __str__(self) -> str:
        """One line: the task, the attempt, and what became of it."""
        return f"{self.task or '(undecodable)'}, attempt {self.attempt}: {_shown(self.outcome)}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a `run_all` did.

    Attributes:
        runs: Each run, in order.
        dead_letters: What ended in a dead-letter queue; `failure.reason` says why.
    """

    runs: Sequence[Run]
    dead_letters: Sequence[DeadMessage]

    @property
    def tasks(self) -> list[str | None]:
        """The names of the tasks that ran, in order."""
        return [run.task for run in self.runs]

    @property
    def errors(self) -> list[BaseException]:
        """What the tasks raised, in order."""
        return [run.error for run in self.runs if run.error is not None]

    def __str__(self) -> str:
        """A line for each run."""
        if not self.runs:
            return "nothing was there to run"
        return "\n".join(map(str, self.runs))


def run_all(app: App, *, delayed: bool = True, raise_errors: bool = False, max_runs: int = MAX_RUNS) -> Report:
    """Works off all messages of an app in memory, and those that they lead to, until nothing is left.

    The way of each message is the worker's: the wire format, the middleware, the retry policy, copies and dead
    letters. Delays and back-offs don't wait: the app's clock is moved on to the next message that is due. Messages of
    one queue run in the order in which they are due.

    A message of an unknown task is dead-lettered at once, whatever the app's `unknown_task_patience`: there is no other
    program that could know it.

    Within a running event loop everything runs in another thread, where async tasks have a loop of their own.

    Args:
        app: The app, in memory.
        delayed: Whether to move the clock. If not, only what is due now runs.
        raise_errors: Raise the first error that a task raises, once its message is settled, and leave the rest.
        max_runs: When to give up on tasks that never end, because they send themselves again.

    Raises:
        ConfigurationError: The app isn't in memory, or something is delayed and its clock can't be moved.
        RuntimeError: `max_runs` were not enough.
    """
    beside = in_a_loop()
    runs = _Runs(app, delayed=delayed, raise_errors=raise_errors, max_runs=max_runs, beside=beside)
    if not beside:
        return runs.all(None)
    with ThreadPoolExecutor(1, "cloudq-run-all") as thread:
        return thread.submit(context_for_a_thread().run, runs.all, connections_executor()).result()


class _Runs:
    def __init__(self, app: App, *, delayed: bool, raise_errors: bool, max_runs: int, beside: bool) -> None:
        self._app = app
        self._delayed = delayed
        self._raise_errors = raise_errors
        self._max_runs = max_runs
        self._beside = beside  # in a thread that the code of a running loop waits for
        self._driver: MemoryDriver = memory_of(app)
        self._runs: list[Run] = []
        self._signatures = app.runtime.signing.check(app.runtime.handlers)

    def all(self, executor: object) -> Report:
        known = {dead.key for dead in self._dead()}
        # Another thread may wait for a result meanwhile.
        with self._app.runtime.results.unattended(None), asyncio.Runner() as runner, lent(executor, runner.get_loop()):
            while True:
                ran = False
                for delivery in self._due():
                    ran = True
                    self._run(delivery, runner)
                if not ran and not self._move_on():
                    break
        return Report(runs=tuple(self._runs), dead_letters=tuple(d for d in self._dead() if d.key not in known))

    def _queues(self) -> list[str]:
        names = (*self._app.runtime.declared_queues(), *self._driver.queues)
        return [name for name in dict.fromkeys(names) if not is_dead_letter_queue(name)]

    def _dead(self) -> Iterator[DeadMessage]:
        for queue in self._queues():
            yield from self._app.queue(queue).dead_letters

    def _due(self) -> Iterator[Delivery]:
        """One delivery of each queue that has one, leased only when it is asked for.

        Raises:
            RuntimeError: Too many ran already.
        """
        for queue in self._queues():
            if len(self._runs) >= self._max_runs and self._driver.next_due(queue) is not None:
                raise RuntimeError(self._endless())
            longest = self._driver.capabilities(queue).max_lease
            lease = LEASE if longest is None else min(LEASE, longest)
            yield from self._driver.receive(queue, limit=1, wait=NO_WAIT, lease=lease)

    def _move_on(self) -> bool:
        """Moves the clock on to the next message that is due, if that is wanted and there is one."""
        due = [at for queue in self._queues() if (at := self._driver.next_due(queue)) is not None]
        if not self._delayed or not due:
            return False
        clock = self._app.clock
        if not isinstance(clock, FakeClock):
            raise ConfigurationError(
                f"a message is due at {min(due).isoformat()}, and the app's clock is a real one",
                hint="use in_memory(app), or run_all(app, delayed=False) for what is due now",
            )
        if clock.now() >= _END_OF_TIME:
            return False  # what is leased for longer than time goes on isn't due any more
        clock.advance(max(NO_WAIT, min(due) - clock.now()))
        return True

    def _run(self, delivery: Delivery, runner: asyncio.Runner) -> None:
        handlers: dict[str, Handler[Context]] = dict(self._app.runtime.handlers)
        witness = None
        if delivery.message is not None and (definition := self._app.runtime.handlers.get(delivery.message.task)):
            witness = handlers[delivery.message.task] = Witness(definition)
        processor = kind_of_processor(self._app)(
            handlers,
            middleware=self._app.middleware,
            retry_policy=self._app.retry_policy,
            clock=self._app.clock,
            # Nobody else will come who knows it, and the clock isn't to be moved by an hour for that.
            unknown_task_patience=NO_WAIT,
            signatures=self._signatures,
            strict_queues=self._app.strict_queues is True,
            longest_delay=self._app.longest_delay,
            redact=self._app.redact,
            claims=NotedRuns(self._app, StoreClaims(self._app, heartbeat=None, lease=LEASE), heartbeat=None),
        )
        observer, clock = self._app.runtime.observer, self._app.clock
        if observer is not None:
            observer.started(delivery, age_at(delivery, clock.now()))
        began = clock.elapsed()
        if witness is not None and witness.is_async:
            outcome = self._process_async(delivery, processor, runner)
        else:
            outcome = self._process(delivery, processor, runner)
        if observer is not None:
            observer.ended(delivery, ending_of(outcome), (clock.elapsed() - began).total_seconds())
        if isinstance(outcome, DeadLettered):
            self._app.hooks.tell_dead(delivery, outcome)
        self._settle(delivery, outcome)
        if isinstance(outcome, (Retried, Snoozed)) and not outcome.counted:
            return  # on its way: its time hasn't come
        error = witness.error if witness else None
        self._runs.append(
            Run(
                task=delivery.message.task if delivery.message else None,
                message=delivery.message,
                attempt=delivery.attempt,
                outcome=outcome,
                error=error,
            )
        )
        if self._raise_errors and error is not None:
            raise error

    def _process_async(self, delivery: Delivery, processor: Processor[Context], runner: asyncio.Runner) -> Outcome:
        if django_is_loaded() and not self._beside:
            return run_in_own_loop(lambda: processor.aprocess(delivery))
        return runner.run(processor.aprocess(delivery))

    def _process(self, delivery: Delivery, processor: Processor[Context], runner: asyncio.Runner) -> Outcome:
        if django_is_loaded() and self._beside:
            return runner.run(run_off_the_loop(lambda: processor.process(delivery)))
        return processor.process(delivery)

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Stores the copies, then carries out the final step."""
        steps = plan(delivery, outcome, self._driver.capabilities(delivery.queue), self._app.clock.now())
        stored = self._app.queue(delivery.queue).store_copies(steps.copies)
        unstored = [result.error for result in stored if result.error is not None]
        final = steps.on_copy_failure if unstored else steps.final
        settled = self._driver.settle([Final(lease=delivery.lease, step=final)])
        for error in (*unstored, *(result.error for result in settled)):
            if error is not None:
                raise error

    def _endless(self) -> str:
        [(task, times)] = Counter(run.task for run in self._runs).most_common(1)
        return (
            f"after {self._max_runs} runs there is still something to run; {task} ran {times} times. "
            f"The last: {self._runs[-1]}. If that is meant, raise max_runs"
        )


def _shown(outcome: Outcome) -> str:
    match outcome:
        case Acked():
            return outcome.ending
        case Retried(delay=delay, reason=reason):
            return f"retried after {delay}: {reason}"
        case Snoozed(delay=delay, reason=reason):
            return f"snoozed for {delay}: {reason}"
        case DeadLettered(reason=reason):
            return f"dead_lettered: {reason}"
