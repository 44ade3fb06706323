"""The gate: what waits for a limit, and the polls that wait with it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

import pytest

from cloudq import Breaker
from cloudq.core.observing import Observer
from cloudq.errors import StoreUnavailable
from cloudq.flow.breakers import Circuit
from cloudq.flow.limit import Limit
from cloudq.running.held import HeldLease
from cloudq.testing.clock import FakeClock
from cloudq.worker.gate import MOST_PARKED, Gate
from cloudq.worker.in_hand import GoingBack
from cloudq.worker.waiting import PATIENCE as STALE
from tests.unit.worker.intakes import LEASE, arrive, begin, held, make_intake, wanted
from tests.unit.worker.limits import Places

SECOND = timedelta(seconds=1)


class Bench:
    """An intake of ten slots, whose deliveries have the limits that a test gives them."""

    def __init__(
        self, *, queue_limits: Sequence[Limit] = (), keeps: bool = False, slots: int = 10, burst: bool = False
    ) -> None:
        self.told: list[tuple[str, str | None]] = []
        bench = self

        class Telling(Observer):
            def held_back(self, queue: str, why: str | None) -> None:
                bench.told.append((queue, why))

        self.clock = FakeClock()
        self.limits: dict[HeldLease, tuple[Limit, ...]] = {}
        self.intake = make_intake(self.clock, {"q": 1, "other": 1}, slots=slots, burst=burst)
        self.gate = self.intake.limit(
            lambda books: Gate(
                books,
                limits_of=lambda one: self.limits.get(one, ()),
                queue_limits=lambda queue: queue_limits if queue == "q" else (),
                keeps=lambda _: keeps,
                clock=self.clock,
                observer=Telling(),
            )
        )

    def arrive(self, count: int, *limits: Limit, queue: str = "q") -> list[HeldLease]:
        arrived = held(self.clock, count, queue)
        for one in arrived:
            self.limits[one] = limits
        arrive(self.intake, queue, arrived)
        return arrived

    def started(self) -> list[HeldLease]:
        """All that can start now."""
        taken = []
        while (one := self.intake.take(wait=False)) is not None:
            taken.append(one)
        return taken

    def release(self) -> bool:
        with self.gate.lock:
            return self.gate.release(self.clock.elapsed())

    def overdue(self) -> list[GoingBack]:
        with self.gate.lock:
            return self.gate.take_overdue(self.clock.elapsed())

    def asks(self) -> list[tuple[Limit, int]]:
        with self.gate.lock:
            return self.gate.asks(self.clock.elapsed())


def test_what_has_no_limit_starts_at_once() -> None:
    """Beside what waits for one."""
    bench = Bench()
    bench.arrive(2, Places("a"))
    free = bench.arrive(2)
    assert bench.started() == free
    assert bench.intake.in_hand().waiting == 2


def test_what_is_parked_starts_once_its_limit_lets_it_in_the_order_of_arrival() -> None:
    """As many as there are places."""
    bench = Bench()
    limit = Places("a")
    first = bench.arrive(2, limit)
    second = bench.arrive(1, limit)
    assert bench.started() == []
    limit.free = 2
    assert bench.release()
    assert bench.started() == first
    limit.free = 1
    assert bench.release()
    assert bench.started() == second


def test_what_arrives_later_does_not_overtake() -> None:
    """Though a place is free when it comes."""
    bench = Bench()
    limit = Places("a")
    [early] = bench.arrive(1, limit)
    assert bench.started() == []
    limit.free = 1
    bench.arrive(1, limit)
    assert bench.started() == []
    bench.release()
    assert bench.started() == [early]


def test_all_limits_are_entered_or_none() -> None:
    """While the second one holds it up, the place in the first is another's."""
    bench = Bench()
    first, second = Places("task", 1), Places("queue")
    [both] = bench.arrive(1, first, second)
    assert bench.started() == []
    [one] = bench.arrive(1, first)
    assert bench.started() == [one]
    second.free = 1
    assert not bench.release()
    assert second.free == 1
    first.free = 1
    assert bench.release()
    assert bench.started() == [both]
    assert (first.free, second.free) == (0, 0)


def test_nothing_enters_without_a_free_slot() -> None:
    """A turn is used when the task starts, not before."""
    bench = Bench(slots=1)
    limit = Places("a")
    bench.arrive(2, limit)
    assert bench.started() == []
    limit.free = 2
    bench.release()
    [running] = bench.started()
    assert limit.free == 1
    assert not bench.release()
    bench.intake.end(running, succeeded=True)
    assert bench.release()
    assert limit.free == 0


def test_what_lost_its_lease_while_it_was_parked_takes_no_place() -> None:
    """It is somebody else's by now."""
    bench = Bench()
    limit = Places("a")
    lost, kept = bench.arrive(2, limit)
    assert bench.started() == []
    lost.lost.set()
    limit.free = 1
    bench.release()
    assert bench.started() == [kept]
    assert bench.intake.in_hand().waiting == 0


def test_what_must_not_start_leaves_its_place() -> None:
    """A redelivery of what still runs here is set aside, and asks again later."""
    bench = Bench()
    limit = Places("a", 2)
    [first] = bench.arrive(1, limit)
    assert bench.started() == [first]
    [again] = held(bench.clock, 1)
    again.delivery = first.delivery
    bench.limits[again] = (limit,)
    arrive(bench.intake, "q", [again])
    assert bench.started() == []
    assert limit.free == 1


def test_the_end_of_a_run_is_told_to_all_its_limits() -> None:
    """With whether it failed."""
    bench = Bench()
    a, b = Places("a", 1), Places("b", 1)
    [one] = bench.arrive(1, a, b)
    bench.started()
    bench.gate.leave(one, failed=True)
    assert a.left == b.left == [True]


def test_a_run_from_before_a_breaker_opened_is_not_the_one_that_tries() -> None:
    """Its failure doesn't keep the others waiting for longer."""
    bench = Bench()
    circuit = Circuit("task t", Breaker(failures=2, pause=SECOND), horizon=SECOND)
    early, *failing = bench.arrive(3, circuit)
    assert bench.started() == [early, *failing]
    for one in failing:
        bench.gate.leave(one, failed=True)
    [late] = bench.arrive(1, circuit)
    assert bench.started() == []
    bench.clock.advance(SECOND)
    assert bench.release()
    assert bench.started() == [late]
    bench.gate.leave(early, failed=True)
    assert circuit.next_at(bench.clock.elapsed()) is None
    bench.gate.leave(late, failed=True)
    assert circuit.next_at(bench.clock.elapsed()) == bench.clock.elapsed() + SECOND


def test_what_a_spent_limit_holds_up_goes_back() -> None:
    """Each for as long as it would have to wait, so that they don't come back together."""
    bench = Bench()
    limit = Places("a")
    one, two = bench.arrive(2, limit)
    assert bench.started() == []
    assert bench.overdue() == []
    limit.wait_for = 40 * SECOND
    assert bench.overdue() == [(one, 40 * SECOND), (two, 80 * SECOND)]
    hand = bench.intake.in_hand()
    assert (hand.waiting, hand.settling) == (0, 2)


def test_nothing_waits_for_longer_than_half_a_lease() -> None:
    """Whatever the reason."""
    bench = Bench()
    [one] = bench.arrive(1, Places("a"))
    assert bench.started() == []
    bench.clock.advance(LEASE / 2 + SECOND)
    assert bench.overdue() == [(one, LEASE / 4)]


def test_where_a_release_is_counted_it_stays_in_hand() -> None:
    """Its lease is renewed meanwhile: to go back would use an attempt."""
    bench = Bench(keeps=True)
    limit = Places("a")
    bench.arrive(1, limit)
    assert bench.started() == []
    limit.wait_for = 40 * SECOND
    bench.clock.advance(LEASE)
    assert bench.overdue() == []


def test_a_queue_whose_limit_has_no_room_is_not_polled() -> None:
    """Others are; and the limit is asked for places."""
    limit = Places("q", most=3)
    bench = Bench(queue_limits=[limit])
    assert wanted(bench.intake) == 3
    bench.arrive(3, limit)
    assert bench.started() == []
    assert wanted(bench.intake) == 0
    assert wanted(bench.intake, "other") == 10
    limit.answers = [1]
    assert bench.asks() == [(limit, 3)]


def test_a_poll_that_would_like_to_is_a_reason_to_ask() -> None:
    """Though nothing is in hand yet; once."""
    limit = Places("q", most=0)
    bench = Bench(queue_limits=[limit])
    assert wanted(bench.intake) == 0
    limit.answers = [1, 1]
    assert bench.asks() == [(limit, 1)]
    bench.gate.ask(limit, 1)
    assert bench.asks() == []


def test_what_is_to_be_renewed_is_asked_for_though_nothing_waits() -> None:
    """Until there is nothing left to renew."""
    limit = Places("a")
    bench = Bench()
    limit.idle, limit.due, limit.answers = False, 1, [1, 1]
    bench.gate.ask(limit, 1)
    assert bench.asks() == [(limit, 1)]
    bench.gate.ask(limit, 1)
    limit.idle, limit.answers = True, [1]
    assert bench.asks() == []


@pytest.mark.parametrize("lost", [True, False])
def test_what_entered_and_does_not_start_leaves(lost: bool) -> None:
    """It lost its lease, or nothing took it for so many seconds that it goes back."""
    bench = Bench()
    limit = Places("a")
    [one] = bench.arrive(1, limit)
    assert bench.started() == []
    limit.free = 1
    bench.release()
    if lost:
        one.lost.set()
        assert bench.started() == []
    else:
        bench.clock.advance(STALE + SECOND)
        assert [back.held for back in bench.intake.take_stale()] == [one]
    assert limit.left == [None]


def test_a_burst_ends_once_nothing_is_parked() -> None:
    """It waits for its limits."""
    bench = Bench(burst=True)
    limit = Places("a")
    bench.arrive(1, limit)
    assert bench.started() == []
    for queue in ("q", "other"):
        bench.intake.offer(begin(bench.intake, queue), [])
    assert not bench.intake.finished()


def test_a_queue_of_mixed_limits_is_polled_until_too_many_are_parked() -> None:
    """Of tasks, or keys, of which a poll can't choose."""
    bench = Bench()
    bench.arrive(MOST_PARKED - 1, Places("a"))
    assert bench.started() == []
    assert wanted(bench.intake) > 0
    bench.arrive(1, Places("b"))
    assert bench.started() == []
    assert wanted(bench.intake) == 0


def test_an_observer_learns_why_a_queue_is_held_back() -> None:
    """Each change once."""
    limit = Places("q")
    bench = Bench(queue_limits=[limit])
    for why in (None, "rate", "rate", None, None):
        limit.why = why
        wanted(bench.intake)
    assert bench.told == [("q", "rate"), ("q", None)]


def test_a_limit_learns_that_its_queue_is_empty() -> None:
    """By a poll that brought nothing."""
    limit = Places("q")
    bench = Bench(queue_limits=[limit])
    bench.arrive(1, limit)
    assert limit.empty_polls == 0
    bench.arrive(0)
    assert limit.empty_polls == 1


def test_a_limit_is_asked_by_one_call_at_a_time() -> None:
    """For all that wait for it; what it answers is there at once."""
    limit = Places("a")
    bench = Bench()
    bench.arrive(4, limit)
    assert bench.started() == []
    limit.answers = [4, 4]
    assert bench.asks() == [(limit, 4)]
    assert bench.asks() == []
    bench.gate.ask(limit, 4)
    assert limit.free == 4


def test_a_store_that_fails_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """In its own words."""
    limit = Places("task t")
    bench = Bench()
    limit.answers = [StoreUnavailable("no route"), StoreUnavailable("no route"), 1]
    with caplog.at_level(logging.INFO, "cloudq"):
        for _ in range(3):
            bench.gate.ask(limit, 1)
    [record] = caplog.records
    assert "task t" in record.getMessage()
    assert "no route" in record.getMessage()
    assert record.exc_info is None
    assert (limit.failures, limit.free) == (2, 1)


def test_a_shutdown_gives_back_what_is_parked() -> None:
    """At once, with all else that waits."""
    bench = Bench()
    parked = bench.arrive(2, Places("a"))
    assert bench.started() == []
    assert bench.intake.close() == parked
    assert bench.intake.in_hand().waiting == 0


def test_it_looks_again_when_the_first_limit_says_so() -> None:
    """Of those that something waits for."""
    bench = Bench()
    soon, late = Places("a"), Places("b")
    soon.next, late.next = SECOND, 2 * SECOND
    assert bench.gate.next_at(bench.clock.elapsed()) is None
    bench.arrive(1, late)
    bench.arrive(1, soon)
    assert bench.started() == []
    assert bench.gate.next_at(bench.clock.elapsed()) == SECOND
