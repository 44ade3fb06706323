"""Eager mode: a send runs its task at once. For tests; see `App.eager`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.claiming import Begun
from cloudq.core.clock import later
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.handler import Job
from cloudq.core.message import Message
from cloudq.core.middleware import Middleware
from cloudq.core.outcome import DeadLettered, Outcome, Retried, Snoozed
from cloudq.core.policy import RetryPolicy
from cloudq.core.processor import Processor
from cloudq.errors import PayloadError, UnknownTaskError, nearest
from cloudq.queues.signing import UNSIGNED, Signing
from cloudq.tasks.async_libraries import context_for_a_thread, in_a_loop, in_a_thread, in_asyncio, in_trio
from cloudq.tasks.context import Context
from cloudq.tasks.eager_result import EagerResult
from cloudq.tasks.own_loop import connections_executor, lent, run_in_own_loop, run_off_the_loop
from cloudq.tasks.sent import Sent, read_by

if TYPE_CHECKING:
    from cloudq.core.clock import Clock
    from cloudq.core.policy import RetryPolicy
    from cloudq.tasks.definition import Definition


class EagerMode:
    """Whether an app runs what it is sent. Blocks may be nested, and entered from several threads.

    Attributes:
        depth: How many blocks are entered.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.depth = 0

    def __bool__(self) -> bool:
        """Whether a block is entered."""
        return self.depth > 0

    def __enter__(self) -> None:
        with self._lock:
            self.depth += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.depth -= 1


class EagerRun:
    """One message, run at once.

    Args:
        message: The message.
        definitions: The declared tasks by name and alias.
        middleware: Around the task.
        clock: Where the time comes from.
        signing: What it is signed with, and how that is looked at.

    Raises:
        UnknownTaskError: No such task is declared.
    """

    def __init__(
        self,
        message: Message,
        definitions: Mapping[str, Definition],
        middleware: Sequence[Middleware[Context]],
        clock: Clock,
        signing: Signing = UNSIGNED,
    ) -> None:
        definition = definitions.get(message.task)
        if definition is None:
            raise UnknownTaskError(f"no task {message.task!r} is declared: {nearest(message.task, definitions)}")
        self._witness = Witness(definition)
        handlers: Mapping[str, Witness] = {message.task: self._witness}
        check = signing.check(handlers)
        self._result: EagerResult | None = None
        if definition.run_options.keep_result is not None:
            self._result = EagerResult(definition, convert_untyped=definition.app.convert_untyped)
        self._processor = Processor(handlers, middleware=middleware, clock=clock, signatures=check, claims=self._result)
        day = timedelta(days=1)
        lease = Lease(queue=message.queue, receipt=None, expires_at=later(clock.now(), day), ends=clock.elapsed() + day)
        body = signing.signed(wire.encode(replace(message, not_before=None)))
        self._delivery = Delivery.of(body, native_id=message.id, runs=1, deliveries=1, lease=lease)

    def told(self, sent: Sent[Any]) -> Sent[Any]:
        """What the send gives back, which knows the result, if one is kept."""
        return sent if self._result is None else read_by(sent, self._result)

    def run(self) -> None:
        """Runs the task here; an async one on a loop of its own.

        Raises:
            Exception: What the task raised.
        """
        if not self._witness.is_async:
            self._witness.check(self._process())
            return
        if not in_a_loop():
            self._witness.check(run_in_own_loop(self._process_async))
            return
        from concurrent.futures import ThreadPoolExecutor

        # The running loop can't be entered again, so the task gets a thread whose loop is its own.
        with ThreadPoolExecutor(1, "cloudq-eager") as thread:
            self._witness.check(
                thread.submit(context_for_a_thread().run, self._run_beside_a_loop, connections_executor()).result()
            )

    async def arun(self) -> None:
        """As `run`, on the running loop; an async task that is sent on trio has a loop of asyncio in a thread."""
        if not self._witness.is_async:
            self._witness.check(await run_off_the_loop(self._process) if in_asyncio() else self._process())
        elif in_trio():
            self._witness.check(await in_a_thread(self._run_beside_a_loop, None))
        else:
            self._witness.check(await self._process_async())

    def _process(self) -> Outcome:
        return self._processor.process(self._delivery)

    async def _process_async(self) -> Outcome:
        return await self._processor.aprocess(self._delivery)

    def _run_beside_a_loop(self, executor: object) -> Outcome:
        import asyncio

        with asyncio.Runner() as runner, lent(executor, runner.get_loop()):
            return runner.run(self._process_async())


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
    def queues(self) -> Sequence[str]:
        """The queues that the task names."""
        return self._definition.queues

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

    @property
    def dead_letters_expired(self) -> bool:
        """Whether a message that expired is dead-lettered."""
        return self._definition.dead_letters_expired

    def load(self, message: Message) -> Message:
        """The message with its payload."""
        try:
            return self._definition.load(message)
        except Exception as error:
            self.error = error
            raise

    def bind(
        self,
        delivery: Delivery,
        message: Message,
        *,
        deadline: datetime | None,
        lease_lost: Event,
        claim: Begun | None = None,
    ) -> Job[Context]:
        """The run of the task."""
        try:
            return self._definition.bind(delivery, message, deadline=deadline, lease_lost=lease_lost, claim=claim)
        except PayloadError as error:
            self.error = error  # no policy is asked about that
            raise

    def check(self, outcome: Outcome) -> None:
        """Raises what the task failed with, unless a middleware made something else of it."""
        if isinstance(outcome, (Retried, Snoozed, DeadLettered)):
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
