"""Holds: a delivery that waits in hand takes no slot, keeps its message and key from others, and comes back in time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.running.held import HeldLease
from cloudq.testing.clock import FakeClock
from cloudq.worker import polls as polls_module
from cloudq.worker.holds import STRETCH, Kept
from cloudq.worker.intake import Intake
from tests.unit.worker.intakes import LEASE, arrive, held, make_intake, wanted

MINUTE = timedelta(minutes=1)


class Bench:
    def __init__(self, slots: int = 1) -> None:
        self.clock = FakeClock()
        self.intake: Intake = make_intake(self.clock, slots=slots)

    def started(self) -> HeldLease:
        [one] = held(self.clock, 1)
        arrive(self.intake, "q", [one])
        assert self.intake.take(wait=False) is one
        return one

    def on_hold(self, delay: timedelta = 10 * MINUTE, *, for_store: bool = False) -> HeldLease:
        one = self.started()
        assert self.intake.holds.hold(one, delay, for_store=for_store) is Kept.HELD
        one.life.ends = timedelta(days=1)  # it is extended
        return one

    def next(self) -> HeldLease | None:
        return self.intake.take(wait=False)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_is_on_hold_takes_no_slot_and_is_in_hand(bench: Bench) -> None:
    """Another may run meanwhile; and its lease is extended for long at a time."""
    one = bench.on_hold()
    hand = bench.intake.in_hand()
    assert (hand.waiting, hand.running, hand.settling) == (1, 0, 0)
    assert one.stretch == STRETCH
    bench.started()


def test_it_runs_again_once_its_time_has_come(bench: Bench) -> None:
    """Before all that waits, as it came before it; and it isn't counted as another start."""
    one = bench.on_hold()
    arrive(bench.intake, "q", held(bench.clock, 1))
    bench.clock.advance(9 * MINUTE)
    bench.intake.holds.look(store_is_up=True)
    assert bench.intake.in_hand().started == 1
    bench.clock.advance(MINUTE)
    bench.intake.holds.look(store_is_up=True)
    assert bench.next() is one
    assert (bench.intake.in_hand().started, one.stretch) == (1, None)


def test_what_waits_for_the_store_runs_as_soon_as_that_is_back(bench: Bench) -> None:
    """What waits for something else doesn't."""
    wide = Bench(slots=2)
    store, claim = wide.on_hold(for_store=True), wide.on_hold()
    wide.intake.holds.look(store_is_up=False)
    assert wide.next() is None
    wide.intake.holds.look(store_is_up=True)
    assert wide.next() is store
    assert wide.next() is None
    assert claim in wide.intake._books.on_hold


def test_neither_a_redelivery_nor_the_next_of_its_key_starts_beside_it(bench: Bench) -> None:
    """It is set aside, as beside a run."""
    one = bench.on_hold()
    again = HeldLease(one.delivery, bench.clock.elapsed(), extendable=True)
    arrive(bench.intake, "q", [again])
    assert bench.next() is None
    assert len(bench.intake._books.aside) == 1


def test_a_lease_that_is_over_ends_the_hold(bench: Bench) -> None:
    """The message is somebody else's by now, and may come back here."""
    one = bench.on_hold()
    one.lost.set()
    again = HeldLease(one.delivery, bench.clock.elapsed(), extendable=True)
    arrive(bench.intake, "q", [again])
    assert bench.next() is None
    bench.intake.holds.look(store_is_up=True)
    assert bench.next() is again


def test_one_that_lost_its_lease_while_it_waited_for_a_slot_again_is_dropped(bench: Bench) -> None:
    """And no longer in the way of what came instead of it."""
    one = bench.on_hold(timedelta(0))
    bench.intake.holds.look(store_is_up=True)
    one.lost.set()
    assert bench.next() is None
    bench.intake.holds.look(store_is_up=True)
    again = HeldLease(one.delivery, bench.clock.elapsed(), extendable=True)
    arrive(bench.intake, "q", [again])
    assert bench.next() is again


def test_it_is_not_given_back_for_waiting_again(bench: Bench) -> None:
    """That would be counted, and it was held so that nothing is."""
    one = bench.on_hold(timedelta(0))
    bench.intake.holds.look(store_is_up=True)
    bench.clock.advance(LEASE)
    assert bench.intake.take_stale() == []
    assert bench.next() is one


def test_what_was_given_up_is_not_held(bench: Bench) -> None:
    """A shutdown has released it."""
    one = bench.started()
    bench.intake.give_up_running()
    assert bench.intake.holds.hold(one, MINUTE, for_store=False) is Kept.GIVEN_UP


def test_nothing_is_held_by_a_worker_that_stops(bench: Bench) -> None:
    """Nothing would have it run again here: it is settled, and another worker may have it."""
    one = bench.started()
    bench.intake.close()
    assert bench.intake.holds.hold(one, MINUTE, for_store=True) is Kept.CLOSED
    assert bench.intake.end(one, succeeded=False)


def test_closing_gives_back_what_is_on_hold(bench: Bench) -> None:
    """Its run is over, so that this process may run it again."""
    one = bench.on_hold()
    assert bench.intake.holds.close() == [one]
    assert bench.intake.in_hand().settling == 1
    again = HeldLease(one.delivery, bench.clock.elapsed(), extendable=True)
    arrive(bench.intake, "q", [again])
    assert bench.next() is again


def test_a_queue_of_which_very_much_is_on_hold_is_not_asked_for_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until some of it is taken off: an ordered queue of SQS hands no more over while 20,000 are in flight."""
    monkeypatch.setattr(polls_module, "MOST_ON_HOLD", 2)
    bench.on_hold(MINUTE)
    assert wanted(bench.intake) > 0
    bench.on_hold(2 * MINUTE)
    assert wanted(bench.intake) == 0
    bench.clock.advance(MINUTE)
    bench.intake.holds.look(store_is_up=True)
    assert bench.next() is not None
    assert bench.intake._books.queues["q"].on_hold == 1
    bench.intake.holds.close()
    assert bench.intake._books.queues["q"].on_hold == 0
