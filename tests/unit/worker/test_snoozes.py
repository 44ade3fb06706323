"""Snoozes: what a worker does with what only waits, beside what `plan()` does of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cloudq.core.capabilities import Capabilities
from cloudq.core.failure import Failure
from cloudq.core.outcome import Snoozed, Why
from cloudq.core.store_watch import StoreWatch
from cloudq.drivers.service_bus import limits as service_bus
from cloudq.drivers.sqs import limits as sqs
from cloudq.running.held import HeldLease
from cloudq.testing.clock import FakeClock
from cloudq.worker.snoozes import Snoozes
from tests.unit.worker.intakes import arrive, held, make_intake, wanted

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def on_service_bus(queue: str) -> Capabilities:
    return service_bus.capabilities(queue, max_message=256 * 1024, dedup_window=None)


class Bench:
    def __init__(self, capabilities: Callable[[str], Capabilities] = sqs.capabilities, **options: Any) -> None:
        self.clock = FakeClock()
        self.intake = make_intake(self.clock, {"q": 1, "q.fifo": 1})
        self.store_is_up = False
        self.watch = StoreWatch(self._reachable, self.clock)
        self.jobs: list[Callable[[], None]] = []
        self.asked = 0
        self.counted: list[Any] = []
        made: dict[str, Any] = {"watch": self.watch, "burst": False, **options}
        self.snoozes = Snoozes(
            self.intake,
            capabilities=capabilities,
            count=lambda *ended: self.counted.append(ended),
            run=self._run,
            clock=self.clock,
            **made,
        )

    def _reachable(self) -> bool:
        self.asked += 1
        return self.store_is_up

    def _run(self, job: Callable[[], None]) -> bool:
        self.jobs.append(job)
        return True

    def started(self, queue: str = "q") -> HeldLease:
        [one] = held(self.clock, 1, queue)
        arrive(self.intake, queue, [one])
        assert self.intake.take(wait=False) is one
        return one

    def take(self, why: Why, queue: str = "q") -> Snoozed | None:
        failure = Failure(reason="x", waiting_since=self.clock.now())
        outcome = Snoozed(delay=6 * MINUTE, why=why, reason="no route", failure=failure)
        self.latest = self.started(queue)
        return self.snoozes.take(self.latest, outcome, 0.5)


def test_a_store_that_is_down_stops_the_polls_of_its_queue_alone() -> None:
    """Others may hold tasks without keys."""
    bench = Bench()
    bench.take(Why.STORE_DOWN)
    assert wanted(bench.intake, "q") == 0
    assert wanted(bench.intake, "q.fifo") > 0


def test_they_go_on_once_it_is_back() -> None:
    """It is asked itself, on another thread, after pauses; not the queue."""
    bench = Bench()
    bench.watch.note_down("no route")
    bench.take(Why.STORE_DOWN)
    bench.clock.advance(SECOND)
    for _ in range(3):
        bench.snoozes.look()
    assert (len(bench.jobs), bench.asked) == (1, 0)
    bench.jobs.pop()()
    assert (bench.asked, wanted(bench.intake, "q")) == (1, 0)
    bench.store_is_up = True
    bench.clock.advance(MINUTE)
    bench.snoozes.look()
    bench.jobs.pop()()
    bench.snoozes.look()
    assert wanted(bench.intake, "q") > 0
    assert bench.intake.take(wait=False) is bench.latest


def test_a_store_that_hangs_keeps_one_thread_and_no_more() -> None:
    """The worker looks after everything else meanwhile."""
    bench = Bench()
    bench.take(Why.STORE_DOWN)
    for _ in range(30):
        bench.clock.advance(MINUTE)
        bench.snoozes.look()
    assert len(bench.jobs) == 1


def test_what_a_child_process_found_is_known_here() -> None:
    """It has a watch of its own; the worker's asks from then on."""
    bench = Bench()
    bench.take(Why.STORE_DOWN)
    assert (bench.watch.is_down, bench.watch.why) == (True, "no route")


@pytest.mark.parametrize(("why", "queue"), [(Why.STORE_DOWN, "q"), (Why.STORE_DOWN, "q.fifo"), (Why.CLAIMED, "q.fifo")])
def test_where_a_release_is_counted_a_delivery_is_held(why: Why, queue: str) -> None:
    """With since when it waits, for whichever process runs it again; and it is told of as an end."""
    bench = Bench()
    assert bench.take(why, queue) is None
    assert bench.intake.in_hand().waiting == 1
    assert bench.latest.delivery.failure is not None
    assert bench.latest.delivery.failure.waiting_since == bench.clock.now()
    [(delivery, outcome, seconds)] = bench.counted
    assert (delivery, outcome.why, seconds) == (bench.latest.delivery, why, 0.5)


def test_what_has_no_event_loop_here_is_left_to_others_a_few_times_where_that_is_counted() -> None:
    """Then it is held: the worker is ill, not the message, which would be taken for one that kills workers."""
    bench = Bench()
    outcome = Snoozed(delay=6 * SECOND, why=Why.NO_LOOP, reason="no thread")
    left = []
    for number in range(1, 8):
        one = bench.started("q.fifo")
        one.delivery = replace(one.delivery, deliveries=number)
        left.append(bench.snoozes.take(one, outcome, 0.0))
        bench.intake.end(one, succeeded=False)
    assert [outcome] * 4 + [None] * 3 == left
    assert bench.intake.in_hand().waiting == 3


def test_where_a_release_is_not_counted_it_goes_back_as_the_queue_can() -> None:
    """At once, with no copy, on a queue that can't delay it: nobody here asks for it until the store is back."""
    bench = Bench(on_service_bus)
    left = bench.take(Why.STORE_DOWN)
    assert left is not None
    assert left.delay == timedelta(0)
    assert wanted(bench.intake, "q") == 0


def test_what_needs_no_more_than_a_plan_is_left_to_it() -> None:
    """A claim in progress on a queue that takes copies, say."""
    bench = Bench()
    left = bench.take(Why.CLAIMED)
    assert left is not None
    assert left.delay == 6 * MINUTE
    assert wanted(bench.intake, "q") > 0


def test_a_burst_neither_holds_nor_stops() -> None:
    """It ends once its queues are empty: what waits is left there."""
    bench = Bench(burst=True)
    assert bench.take(Why.STORE_DOWN) is not None
    assert bench.take(Why.CLAIMED, "q.fifo") is not None
    assert wanted(bench.intake, "q") > 0


def test_a_delivery_that_was_given_up_is_dropped() -> None:
    """A shutdown has released it: it is neither held nor counted."""
    bench = Bench()
    one = bench.started()
    bench.intake.give_up_running()
    assert bench.snoozes.take(one, Snoozed(delay=MINUTE, why=Why.STORE_DOWN, reason="x"), 0.0) is None
    assert (bench.counted, bench.intake.in_hand().waiting) == ([], 0)


def test_a_run_that_ends_in_a_snooze_while_the_worker_stops_is_settled() -> None:
    """As it can be: held, it would be hidden from all others until its lease is over."""
    bench = Bench()
    one = bench.started()
    bench.intake.close()
    outcome = Snoozed(delay=MINUTE, why=Why.STORE_DOWN, reason="x")
    assert bench.snoozes.take(one, outcome, 0.0) == outcome


def test_a_stopped_queue_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """And when it goes on."""
    bench = Bench()
    with caplog.at_level(logging.INFO, "cloudq.worker"):
        bench.take(Why.STORE_DOWN)
        bench.take(Why.STORE_DOWN)
        bench.watch.note_up()
        bench.snoozes.look()
        bench.snoozes.look()
    said = [record.getMessage() for record in caplog.records if record.name == "cloudq.worker"]
    assert ["isn't asked for more" in said[0], "asked again" in said[1], len(said)] == [True, True, 2]
