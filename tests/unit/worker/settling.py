"""A settler whose backend answers what the test says."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta

from msgspec.structs import replace

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Capabilities, ExtendResult, Final, Outgoing, SendResult, SettleResult
from cloudq.core.observing import Observer
from cloudq.core.outcome import ACKED, DeadLettered, Outcome
from cloudq.errors import BackendUnavailable
from cloudq.running.held import HeldLease
from cloudq.testing.clock import FakeClock
from cloudq.worker.leases import LeaseKeeper
from cloudq.worker.settler import Settler
from tests.unit.worker.fakes import delivery, until

LEASE = timedelta(seconds=120)
SECOND = timedelta(seconds=1)
DOWN = BackendUnavailable("down")


class Books:
    """Stands for the intake: what it is told."""

    def __init__(self) -> None:
        self.out: dict[str, int] = defaultdict(int)
        self.told: list[tuple[str, bool]] = []

    @property
    def stops(self) -> Books:
        return self

    def note_settled(self, queue: str, count: int = 1) -> None:
        self.out[queue] += count

    def note_failing(self, queue: str, failing: bool) -> None:
        self.told.append((queue, failing))


class StepClock(FakeClock):
    """Knows whether all threads that it has woken wait again: on a busy machine that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self._waits: dict[threading.Thread, threading.Condition | None] = {}

    def wait(self, condition: threading.Condition, timeout: timedelta | None) -> bool:
        thread = threading.current_thread()
        self._waits[thread] = condition
        try:
            return super().wait(condition, timeout)
        finally:
            self._waits[thread] = None

    @property
    def quiet(self) -> bool:
        """Whether each thread that ever waited waits now, and none of them has been notified."""
        waits = [condition for thread, condition in self._waits.copy().items() if thread.is_alive()]
        return all(condition is not None and waits.count(condition) == _waiters(condition) for condition in waits)


def _waiters(condition: threading.Condition) -> int:
    return len(condition._waiters)  # type: ignore[attr-defined]  # those who were not notified


class Bench:
    """A settler whose backend answers what the test says, on a fake clock."""

    def __init__(self, observer: Observer | None = None) -> None:
        self.clock = StepClock()
        self.capabilities = Capabilities(max_batch=10, max_body=1000)
        self.errors: dict[str, Exception | None] = {}  # by queue
        self.settled: list[Final] = []
        self.settled_at: list[timedelta] = []
        self.stored: list[Outgoing] = []
        self.deleted: list[Delivery] = []
        self.done: list[Delivery] = []
        self.dead: list[tuple[Delivery, DeadLettered]] = []
        self.copy_error: Exception | None = None
        self.before_answer: Callable[[], None] = lambda: None
        self.extend_error: Exception | None = None
        self.books = Books()
        self.keeper = LeaseKeeper(
            self.extend,
            lease=lambda _: LEASE,
            settle_timeout=timedelta(seconds=30),
            capabilities=lambda _: self.capabilities,
            clock=self.clock,
        )
        self.settler = Settler(
            self,  # type: ignore[arg-type]  # as much of a driver as the settler uses
            queue=lambda name: Queue(self, name),  # type: ignore[arg-type,return-value]  # as above
            keeper=self.keeper,
            intake=self.books,  # type: ignore[arg-type]  # as above
            clock=self.clock,
            acked=self.deleted.append,
            done=self.done.append,
            dead=lambda one, outcome: self.dead.append((one, outcome)),
            observer=observer,
        )

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        self.settled += finals
        self.settled_at.append(self.clock.elapsed())
        self.before_answer()
        return [SettleResult(error=self.errors.get(final.lease.queue)) for final in finals]

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        granted = ExtendResult(expires_at=self.clock.now() + by, ends=self.clock.elapsed() + by)
        refused = ExtendResult(error=self.extend_error)
        return [granted if self.extend_error is None else refused for _ in leases]

    def held(self, queue: str = "q") -> HeldLease:
        one = delivery(self.clock, queue=queue)
        [held] = self.keeper.attach([replace(one, lease=replace(one.lease, ends=self.clock.elapsed() + LEASE))])
        return held

    def end(self, held: HeldLease, outcome: Outcome = ACKED) -> None:
        """Its handler has ended."""
        self.settler.settle(held, outcome)

    def pass_time(self, delta: timedelta) -> None:
        """In small steps, slow enough for the settler's threads; leases are looked after meanwhile."""
        end = self.clock.elapsed() + delta
        while self.clock.elapsed() < end:
            self.step()

    def pass_time_until(self, predicate: Callable[[], object]) -> None:
        """As `pass_time`, until it is true."""
        until(lambda: predicate() or self.step())

    def step(self) -> None:
        self.clock.advance(SECOND / 10)
        self.keeper.tick(self.clock.elapsed())
        time.sleep(0.003)  # real time, for the threads that fake time has woken
        patience = time.monotonic() + 5  # one may be where the test holds it
        while not self.clock.quiet and time.monotonic() < patience:
            time.sleep(0.003)


class Queue:
    """As much of a `CloudQueue` as the settler uses."""

    def __init__(self, bench: Bench, name: str) -> None:
        self._bench = bench
        self.name = name
        self.capabilities = bench.capabilities

    def store_copies(self, copies: Sequence[Outgoing]) -> Sequence[SendResult]:
        self._bench.stored += copies
        return [SendResult(error=self._bench.copy_error)] * len(copies)
