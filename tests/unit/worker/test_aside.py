"""Deliveries that wait for a run of their own message or ordering key."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.failure import Failure
from cloudq.core.outcome import DUPLICATE, DeadLettered
from cloudq.running.held import HeldLease
from cloudq.running.runs import FIRST_AWAY, Run, Runs
from cloudq.testing.clock import FakeClock
from cloudq.worker.aside import Aside
from tests.unit.worker.fakes import delivery

LEASE = timedelta(seconds=120)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Desk:
    """An `Aside`, and what it is told of ended runs."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.runs = Runs(clock)
        self.aside = Aside(self.runs, clock)
        self.told: list[bool] = []
        self.message = delivery(clock, deliveries=0)

    def hold(self) -> HeldLease:
        """Another delivery of the one message."""
        self.message = replace(self.message, deliveries=self.message.deliveries + 1)
        return HeldLease(self.message, self.clock.elapsed(), extendable=True)

    def begin(self, held: HeldLease) -> Run | None:
        return self.aside.begin(held, LEASE, self.told.append)


@pytest.fixture
def desk(clock: FakeClock) -> Desk:
    return Desk(clock)


def test_what_may_run_is_not_set_aside(desk: Desk) -> None:
    """It begins."""
    assert desk.begin(desk.hold()) is not None
    assert 0 == len(desk.aside)


@pytest.mark.parametrize("done", [True, False])
def test_it_waits_for_the_run_in_its_way(desk: Desk, done: bool) -> None:
    """Then it goes on, or is kept for who acknowledges what another run did."""
    first, second = desk.begin(desk.hold()), desk.hold()
    assert first is not None
    assert desk.begin(second) is None
    assert 1 == len(desk.aside)
    desk.runs.end(first, succeeded=done)
    assert [done] == desk.told
    assert desk.aside.resume(second, done=done)
    assert ([(second, DUPLICATE)] if done else []) == desk.aside.take_done()
    assert [] == desk.aside.take_done()
    assert 0 == len(desk.aside)


def test_it_waits_for_half_a_lease(desk: Desk) -> None:
    """Then it goes back, for longer each time, and the end of the run is none of its business."""
    first = desk.begin(desk.hold())
    assert first is not None
    for delay in (FIRST_AWAY, 2 * FIRST_AWAY):
        second = desk.hold()
        assert desk.begin(second) is None
        desk.clock.advance(LEASE / 2 - timedelta(seconds=1))
        assert [] == desk.aside.take_overdue()
        desk.clock.advance(timedelta(seconds=1))
        assert [(second, delay)] == desk.aside.take_overdue()
        assert [] == desk.aside.take_overdue()
        assert not desk.aside.resume(second, done=True)
    assert [] == desk.aside.take_done()


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)], ids=["forwards", "backwards"])
def test_a_clock_that_is_set_changes_no_waiting(desk: Desk, step: timedelta) -> None:
    """It waits for half a lease of time that passes, whatever the wall clock says."""
    assert desk.begin(desk.hold()) is not None
    assert desk.begin(desk.hold()) is None
    desk.clock.step(step)
    assert [] == desk.aside.take_overdue()
    desk.clock.advance(LEASE / 2)
    assert 1 == len(desk.aside.take_overdue())


def test_what_went_back_and_is_done_meanwhile_does_not_begin(desk: Desk) -> None:
    """When it comes again after the run that was in its way has succeeded, it is to be acknowledged unrun."""
    first = desk.begin(desk.hold())
    assert first is not None
    assert desk.begin(desk.hold()) is None
    desk.clock.advance(LEASE / 2)
    assert 1 == len(desk.aside.take_overdue())
    desk.runs.end(first, succeeded=True)
    again = desk.hold()
    assert desk.begin(again) is None
    assert 1 == len(desk.aside)
    assert [(again, DUPLICATE)] == desk.aside.take_done()


def test_all_can_be_taken_out(desk: Desk) -> None:
    """At the end of the worker they go back with the rest."""
    assert desk.begin(desk.hold()) is not None
    second = desk.hold()
    assert desk.begin(second) is None
    assert [second] == desk.aside.take_all()
    assert 0 == len(desk.aside)


def test_what_had_its_last_run_does_not_begin(desk: Desk) -> None:
    """It is kept with its outcome: what the registry forgets before it is settled would be acknowledged, and lost."""
    outcome = DeadLettered(reason="gave up", failure=Failure(reason="gave up"))
    desk.runs.note_dead(desk.hold().delivery, outcome, LEASE)
    again = desk.hold()
    assert desk.begin(again) is None
    desk.clock.advance(20 * LEASE)
    assert desk.runs.verdict(again.delivery) is None
    assert [(again, outcome)] == desk.aside.take_done()
