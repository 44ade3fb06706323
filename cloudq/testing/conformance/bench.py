"""`Bench`: what the behaviours work with: one backend, one queue, and short words for what is done to them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from functools import partial
from typing import Final as Const
from typing import TypeVar

from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.clock import monotonic
from cloudq.core.delivery import Delivery
from cloudq.core.driver import (
    Ack,
    Capabilities,
    DeadMessage,
    Final,
    FinalStep,
    Outgoing,
    PullDriver,
    Release,
    SendResult,
    SettleResult,
)
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Outcome
from cloudq.core.policy import RetryPolicy
from cloudq.core.processor import Processor
from cloudq.core.redriving import times_redriven
from cloudq.core.signature_check import SignatureCheck
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.dead_letters import DeadLetters
from cloudq.testing.clock import FakeClock
from cloudq.testing.conformance.edge import Carried, Script, carry_out
from cloudq.testing.conformance.harness import STUCK, ZERO, Harness

T = TypeVar("T")

TASK: Const = "conformance.task"


class Bench:
    """One backend under test.

    Args:
        harness: How to get at it.
    """

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.clock = harness.clock
        self.queue = harness.queue
        self.other_queue = harness.other_queue
        self.unit = harness.unit
        self.driver = harness.open()
        self.capabilities: Capabilities = self.driver.capabilities(self.queue)
        self._opened: list[PullDriver] = [self.driver]
        self._pool = ThreadPoolExecutor(24, thread_name_prefix="conformance")

    def close(self) -> None:
        """Closes every driver, ends every thread, then closes the harness."""
        for driver in self._opened:
            driver.close()
        self._pool.shutdown()
        self.harness.close()

    def client(self) -> PullDriver:
        """A second client of the backend, or the first where there can't be one."""
        if (client := self.harness.second_client()) is None:
            return self.driver
        self._opened.append(client)
        return client

    # ── time ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def fake(self) -> bool:
        """Whether time passes only when told to."""
        return isinstance(self.clock, FakeClock)

    @property
    def lease(self) -> timedelta:
        """The lease that receives ask for, where the behaviour doesn't say otherwise."""
        return 3 * self.unit

    @property
    def long_lease(self) -> timedelta:
        """One that several calls don't outlast: in real time a busy machine may take seconds for them."""
        return self.lease if self.fake else 20 * self.unit

    @property
    def grain(self) -> timedelta:
        """How much earlier or later is certainly before or after."""
        return self.unit / 4

    @property
    def lead(self) -> timedelta:
        """How long before a moment a look begins that must find nothing: in real time a busy machine holds it up."""
        return self.grain if self.fake else self.unit

    def now(self) -> datetime:
        """The backend's time."""
        return self.clock.now()

    def elapsed(self) -> timedelta:
        """What leases are measured by."""
        return self.clock.elapsed()

    def advance(self, delta: timedelta) -> None:
        """Lets time pass."""
        self.harness.advance(delta)

    def advance_to(self, moment: timedelta) -> None:
        """Lets time pass until then, by `elapsed`, if it isn't past."""
        self.advance(max(ZERO, moment - self.elapsed()))

    def affordable(self, delta: timedelta) -> bool:
        """Whether the test may let that much time pass."""
        return delta <= self.harness.patience

    # ── producing ────────────────────────────────────────────────────────────────────────────────────────

    def message(
        self,
        *,
        queue: str | None = None,
        task: str = TASK,
        payload: Mapping[str, object] | None = None,
        key: str | None = None,
        ordering_key: str | None = None,
        delay: timedelta | None = None,
    ) -> Message:
        """A message that the queue takes: on an ordered queue it has an ordering key, of its own if none is given."""
        queue = queue or self.queue
        id_ = uuid.uuid4().hex
        if ordering_key is None and self.driver.capabilities(queue).ordering:
            ordering_key = f"only-{id_}"
        return Message(
            id=id_,
            task=task,
            queue=queue,
            payload={} if payload is None else payload,
            sent_at=self.now(),
            not_before=None if delay is None else self.now() + delay,
            idempotency_key=key,
            ordering_key=ordering_key,
        )

    def message_of(self, size: int) -> Message:
        """A message that is encoded in exactly that many bytes."""
        message = self.message(payload={"fill": ""})
        return replace(message, payload={"fill": "x" * (size - len(wire.encode(message)))})

    def prepared(self, message: Message) -> Outgoing:
        """The message as a producer stores it, checked as `CloudQueue` checks it."""
        return CloudQueue(message.queue, self.driver, clock=self.clock).prepared(message)

    def store(self, message: Message, *, driver: PullDriver | None = None) -> SendResult:
        """Stores a message in a call of its own."""
        (result,) = (driver or self.driver).send([self.prepared(message)])
        return result

    def send(
        self,
        message: Message | None = None,
        *,
        key: str | None = None,
        ordering_key: str | None = None,
        delay: timedelta | None = None,
        payload: Mapping[str, object] | None = None,
        queue: str | None = None,
    ) -> Message:
        """Stores a message, which must succeed."""
        if message is None:
            message = self.message(key=key, ordering_key=ordering_key, delay=delay, payload=payload, queue=queue)
        result = self.store(message)
        assert result.error is None
        return message

    def put_raw(self, body: bytes) -> None:
        """Puts bytes into the queue that no cloudq wrote."""
        self.harness.put_raw(self.driver, self.queue, body)

    # ── receiving and settling ───────────────────────────────────────────────────────────────────────────

    def receive(
        self,
        count: int = 1,
        *,
        driver: PullDriver | None = None,
        queue: str | None = None,
        lease: timedelta | None = None,
        sure: int = 1,
    ) -> list[Delivery]:
        """Up to `count` deliveries, by as many receives as that takes.

        Until `sure` have come it waits as long as the harness allows; what doesn't follow soon then isn't there. With
        `sure` 0 nothing need be there at all.
        """
        driver = driver or self.driver
        deliveries: list[Delivery] = []
        while len(deliveries) < count:
            wait = self.harness.poll if len(deliveries) < sure else self.harness.quiet
            brought = driver.receive(
                queue or self.queue, limit=count - len(deliveries), wait=wait, lease=lease or self.lease
            )
            deliveries += brought
            if not brought:
                break
        return deliveries

    def one(
        self, *, driver: PullDriver | None = None, queue: str | None = None, lease: timedelta | None = None
    ) -> Delivery:
        """The delivery that must be there."""
        deliveries = self.receive(driver=driver, queue=queue, lease=lease)
        assert len(deliveries) == 1, "a message should be receivable, and none is"
        return deliveries[0]

    def nothing(self, *, driver: PullDriver | None = None, queue: str | None = None) -> None:
        """Asserts that nothing is receivable."""
        assert self.receive(10, driver=driver, queue=queue, sure=0) == []

    def settle(self, delivery: Delivery, step: FinalStep, *, driver: PullDriver | None = None) -> Exception | None:
        """Settles one delivery and returns what was reported."""
        (result,) = (driver or self.driver).settle([Final(lease=delivery.lease, step=step)])
        self._back_off(step, result.error)
        return result.error

    def ack(self, *deliveries: Delivery) -> None:
        """Acks deliveries, which must succeed."""
        for delivery in deliveries:
            assert self.settle(delivery, Ack()) is None

    def carry_out(self, delivery: Delivery, outcome: Outcome, *, driver: PullDriver | None = None) -> Carried:
        """Does what an edge does with an outcome."""
        carried = carry_out(driver or self.driver, delivery, outcome, self.now())
        self._back_off(carried.plan.final if carried.copied else carried.plan.on_copy_failure, carried.error)
        return carried

    def _back_off(self, step: FinalStep, error: Exception | None) -> None:
        if isinstance(step, Release) and error is None and self.harness.back_off:
            self.advance(self.harness.back_off)

    def processor(
        self,
        function: Callable[[Message], object],
        policy: RetryPolicy | None = None,
        *,
        unknown_task_patience: timedelta = ZERO,
        signatures: SignatureCheck | None = None,
    ) -> Worker:
        """A worker of one task, `conformance.task`, made of the function."""
        return Worker(self, Script(TASK, function, policy or RetryPolicy()), unknown_task_patience, signatures)

    # ── dead letters ─────────────────────────────────────────────────────────────────────────────────────

    def failure(self, reason: str = "it broke") -> Failure:
        """A failure with everything filled in."""
        now = self.now()
        return Failure(
            reason=reason,
            error_type="shop.errors.Broken",
            error_message="no such order: 42 \N{SNOWMAN}",
            traceback='…File "shop/tasks.py", line 7, in pay\nBroken: no such order: 42',
            attempts=3,
            deliveries=4,
            first_at=now - timedelta(hours=1),
            last_at=now,
            worker="host.example:4711",
        )

    def kill(self, delivery: Delivery, reason: str = "it broke") -> Carried:
        """Dead-letters a delivery as an edge does, which must succeed."""
        outcome = DeadLettered(reason=reason, failure=_at_generation_of(delivery, self.failure(reason)))
        carried = self.carry_out(delivery, outcome)
        assert (carried.copied, carried.error) == (True, None)
        return carried

    def send_and_kill(self, count: int = 1) -> list[Message]:
        """Sends messages one after the other and dead-letters each."""
        messages = []
        for number in range(count):
            messages.append(self.send(payload={"number": number}))
            self.kill(self.one(), f"reason {number}")
            if not self.fake:
                time.sleep(0.002)  # so that their times differ, where a backend lists by time
        return messages

    def dead(self, queue: str | None = None) -> Sequence[DeadMessage]:
        """The queue's dead letters."""
        return self.driver.dead_letters(queue or self.queue).peek(limit=10)

    def redrive(self, keys: Sequence[str] | None = None) -> int:
        """Redrives dead letters, which must succeed; how many."""
        redriven = CloudQueue(self.queue, self.driver, clock=self.clock).dead_letters.redrive(keys)
        assert list(redriven.errors) == []
        return redriven.redriven

    def redrive_amid_another(self) -> int:
        """Redrives all while another client, which took the same ones, has yet to store its copies; how many."""
        redriven: list[int] = []

        def store(copies: Sequence[Outgoing]) -> Sequence[SendResult]:
            redriven.append(self.redrive())
            return self.driver.send(copies)

        letters = self.client().dead_letters(self.queue)
        DeadLetters(self.queue, letters, store, self.capabilities, self.clock).redrive()
        return sum(redriven)

    # ── threads ──────────────────────────────────────────────────────────────────────────────────────────

    def start(self, function: Callable[[], T]) -> Future[T]:
        """Runs a function in another thread."""
        return self._pool.submit(function)

    def finish(self, future: Future[T], *, meanwhile: Callable[[], object] | None = None) -> T:
        """The function's result; fake time passes slowly until it has one, and `meanwhile` is called again and again.

        Raises:
            TimeoutError: It doesn't end.
        """
        give_up = monotonic() + STUCK
        while not wait([future], timeout=0.005).done:
            if monotonic() > give_up:
                raise TimeoutError(f"still running after {STUCK:g} s")
            if meanwhile is not None:
                meanwhile()
            elif self.fake:
                self.advance(self.unit / 20)
        return future.result()

    def slowly(self) -> None:
        """For `finish`: fake time passes so slowly that a thread which this machine holds up loses little of it."""
        if self.fake:
            self.advance(self.unit / 500)

    def together(self, functions: Sequence[Callable[[], T]]) -> list[T]:
        """Runs functions at the same time, each in a thread; their results in order."""
        futures = [self.start(function) for function in functions]
        return [future.result(STUCK) for future in futures]

    def by_clients(self, count: int, function: Callable[[PullDriver], T]) -> list[T]:
        """Runs a function at the same time for several clients of the backend."""
        return self.together([partial(function, self.client()) for _ in range(count)])


class Worker:
    """Receives, processes and settles one delivery at a time."""

    def __init__(
        self,
        bench: Bench,
        script: Script,
        unknown_task_patience: timedelta = ZERO,
        signatures: SignatureCheck | None = None,
    ) -> None:
        self.script = script
        self._bench = bench
        self._processor = Processor(
            {script.name: script},
            clock=bench.clock,
            retry_policy=script.retry_policy,
            unknown_task_patience=unknown_task_patience,
            signatures=signatures,
        )

    def work(self, *, patient: bool = True) -> Outcome | None:
        """Works on one delivery; `None` if there is nothing to receive, which isn't waited for unless `patient`."""
        deliveries = self._bench.receive(sure=1 if patient else 0)
        return self.work_on(deliveries[0]) if deliveries else None

    def decide(self, delivery: Delivery) -> Outcome:
        """What is to become of a delivery, which is left as it is."""
        return self._processor.process(delivery)

    def work_on(self, delivery: Delivery) -> Outcome:
        """Works on a delivery; the settlement must succeed."""
        outcome = self.decide(delivery)
        assert self._bench.carry_out(delivery, outcome).error is None
        return outcome


def errors_of(results: Sequence[SendResult | SettleResult]) -> list[type[Exception] | None]:
    """The class of each result's error."""
    return [None if result.error is None else type(result.error) for result in results]


def _at_generation_of(delivery: Delivery, failure: Failure) -> Failure:
    told = delivery.message or delivery.failure  # of what can't be decoded, what a redrive left beside it
    count = times_redriven(delivery.message, delivery.failure)
    return replace(failure, generation=told.generation if told is not None else 0, redriven=count)
