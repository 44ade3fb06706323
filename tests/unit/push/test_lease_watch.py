"""One thread tells each running task that its lease is over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.push.admission import Admission
from cloudq.push.hang_up import HangUp
from cloudq.push.lease_watch import LeaseWatch
from cloudq.testing.clock import FakeClock
from tests.unit.push.fakes import passes_until_lost
from tests.unit.push.test_admission import in_hand
from tests.unit.worker.fakes import until


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def admission(clock):
    admission = Admission(2, 0, clock)
    watch = LeaseWatch(admission, clock)
    watch.start()
    yield admission
    assert watch.alive
    watch.stop()
    until(lambda: not watch.alive)


def test_it_waits_for_the_first_end(clock, admission):
    """Also where a later run's lease ends earlier."""
    clock.until_waiting()
    long, short = in_hand(clock, id_="1", deadline=600), in_hand(clock, id_="2", deadline=60)
    admission.begin(long)
    admission.begin(short)
    clock.until_waiting()
    clock.advance(timedelta(seconds=60))
    passes_until_lost(clock, short.lost)
    assert not long.lost.is_set()


def test_it_notices_that_the_machine_slept(clock, admission):
    """Within a second of its waking up: a wait doesn't count that time."""
    run = in_hand(clock, deadline=600)
    admission.begin(run)
    until(lambda: admission._next_look == clock.elapsed() + timedelta(seconds=1) and clock.waiting)
    clock.suspend(timedelta(hours=1))
    assert not run.lost.wait(0.05)
    clock.advance(timedelta(seconds=1))
    assert run.lost.wait(60)


@pytest.mark.parametrize("hour", [timedelta(hours=1), timedelta(hours=-1)])
def test_it_does_not_mind_a_clock_that_is_set(clock, admission, hour):
    """Neither does a lease end early, nor late."""
    run = in_hand(clock, deadline=60)
    admission.begin(run)
    clock.until_waiting()
    clock.step(hour)
    for _ in range(59):
        clock.until_waiting()
        clock.advance(timedelta(seconds=1))
    assert not run.lost.wait(0.05)
    clock.advance(timedelta(seconds=1))
    passes_until_lost(clock, run.lost)


def test_it_looks_where_nobody_tells(clock, admission):
    """Five times a second, at a run whose connection shows by a look alone that it is cut; also at one that comes while
    it waits for another.
    """
    admission.begin(in_hand(clock, id_="1", deadline=600))
    until(lambda: admission._next_look == clock.elapsed() + timedelta(seconds=1) and clock.waiting)
    cut = [False]
    run = in_hand(clock, id_="2", deadline=600, hang_up=HangUp(lambda: cut[0]))
    admission.begin(run)
    until(lambda: admission._next_look == clock.elapsed() + timedelta(seconds=0.2) and clock.waiting)
    cut[0] = True
    assert not run.lost.is_set()
    clock.advance(timedelta(seconds=0.2))
    assert run.lost.wait(60)
