"""The thread that looks after a gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from cloudq.running.held import HeldLease
from cloudq.testing.clock import FakeClock
from cloudq.worker.gate import Gate
from cloudq.worker.gate_thread import GateThread
from tests.unit.worker.fakes import until
from tests.unit.worker.intakes import arrive, held, make_intake
from tests.unit.worker.limits import Places

SECOND = timedelta(seconds=1)


class Bench:
    """A gate with one limit, and its thread."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.limit = Places("a")
        self.unlimited: set[HeldLease] = set()
        self.intake = make_intake(self.clock, slots=1)
        self.gate = self.intake.limit(
            lambda books: Gate(
                books,
                limits_of=lambda one: () if one in self.unlimited else (self.limit,),
                queue_limits=lambda _: (self.limit,),
                keeps=lambda _: False,
                clock=self.clock,
            )
        )
        self.back: list[HeldLease] = []
        self.jobs: list[Callable[[], None]] = []
        self.takes_jobs = True
        self.woken = 0
        self.thread = GateThread(
            self.gate,
            started=lambda: None,
            give_back=lambda overdue: self.back.extend(one.held for one in overdue),
            wake=self._wake,
            run=self._run,
            clock=self.clock,
        )

    def _wake(self) -> None:
        self.woken += 1
        if self.woken == 1:
            raise ValueError("looking fails once")

    def _run(self, job: Callable[[], None]) -> bool:
        if self.takes_jobs:
            self.jobs.append(job)
        return self.takes_jobs

    def park(self, count: int = 1) -> list[HeldLease]:
        arrived = held(self.clock, count)
        arrive(self.intake, "q", arrived)
        while self.intake.take(wait=False) is not None:
            raise AssertionError("nothing can start")
        return arrived

    def advance(self, delta: timedelta) -> None:
        self.clock.until_waiting()
        self.clock.advance(delta)

    def starts(self) -> HeldLease | None:
        """What starts next. Wakes the thread meanwhile: it may have looked before a step and begun to wait after it."""
        started: list[HeldLease | None] = []

        def look() -> bool:
            self.clock.advance(timedelta(0))
            started[:] = [self.intake.take(wait=False)]
            return started != [None]

        until(look)
        return started[0]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """It runs, and has survived its first look, which failed."""
    bench = Bench()
    bench.thread.start()
    yield bench
    bench.thread.stop()


def test_what_is_parked_starts_when_its_time_comes(bench: Bench) -> None:
    """To the moment, not at the next round."""
    bench.limit.next = SECOND / 5
    [one] = bench.park()
    bench.clock.until_waiting()
    bench.limit.free = 1
    bench.advance(SECOND / 5)
    assert bench.starts() is one


def test_places_are_asked_for_on_another_thread(bench: Bench) -> None:
    """A store that hangs holds up nobody else."""
    bench.limit.answers = [1]
    [one] = bench.park()
    until(lambda: bench.jobs)
    bench.jobs.pop()()
    assert bench.intake.take() is one


def test_pollers_look_again_once_places_came(bench: Bench) -> None:
    """They may have waited for these."""
    bench.clock.until_waiting()
    woken = bench.woken
    bench.limit.answers = [1]
    bench.gate.ask(bench.limit, 1)
    until(lambda: bench.woken > woken)


def test_a_slot_that_gets_free_is_used_at_once(bench: Bench) -> None:
    """By the next one that may start."""
    [second] = bench.park()
    [first] = held(bench.clock, 1)
    bench.unlimited.add(first)
    arrive(bench.intake, "q", [first])
    assert bench.intake.take() is first
    bench.limit.free = 1
    bench.clock.until_waiting()
    bench.intake.end(first, succeeded=True)
    assert bench.intake.take() is second


def test_without_another_thread_it_asks_itself(bench: Bench) -> None:
    """The machine may start none."""
    bench.takes_jobs = False
    bench.limit.answers = [1]
    [one] = bench.park()
    assert bench.intake.take() is one


def test_what_waits_for_too_long_goes_back(bench: Bench) -> None:
    """For others, or for later."""
    [one] = bench.park()
    bench.limit.wait_for = SECOND
    bench.advance(SECOND)
    until(lambda: bench.back == [one] or bench.clock.advance(timedelta(0)))  # as in `starts`
