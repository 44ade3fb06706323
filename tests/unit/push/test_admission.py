"""How many pushes are taken and run; what is lost, given up and closed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq import App
from cloudq.core.push import PushRequest
from cloudq.push.admission import SETTLE_MARGIN, Admission, PushInHand
from cloudq.push.hang_up import HangUp
from cloudq.push.refusals import HttpRefusal
from cloudq.push.sources import Arrivals
from cloudq.running.runs import Runs
from cloudq.testing.clock import FakeClock
from tests.observing import Told
from tests.unit.push.fakes import PushedDriver, push


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def in_hand(
    clock: FakeClock, *, id_: str = "m1", deadline: int = 60, retries: int = 0, hang_up: HangUp | None = None
) -> PushInHand:
    headers, body = push("t", id=id_, retries=retries, headers={"cloudq-deadline": str(deadline)})
    request = PushRequest(headers=headers, body=body, received_at=clock.now(), received=clock.elapsed())
    arrival = Arrivals(App("memory://"), PushedDriver(clock=clock), timedelta(minutes=10)).decode(request)
    return PushInHand(arrival, clock, hang_up or HangUp())


def never(_: bool) -> None:
    pytest.fail("nobody was to be told")


def test_places_are_slots_and_waiting_ones(clock):
    """What comes beyond them is refused at once with 429, and finds a place once one is free."""
    told = []
    admission = Admission(1, 1, clock, on_change=lambda: told.append(admission.in_hand))
    with admission.admit():
        with admission.admit():
            with pytest.raises(HttpRefusal, match="taken") as refused, admission.admit():
                pytest.fail("there was no place")
            assert (429, "1") == (refused.value.status, refused.value.headers["Retry-After"])
            assert 2 == admission.in_hand
        with admission.admit():
            assert 2 == admission.in_hand
    assert [1, 1, 0] == told


def test_slots_go_to_who_waits_longest(clock):
    """Who stops waiting is passed over; who was told can't stop any more."""
    told: list[tuple[str, bool]] = []
    admission = Admission(1, 3, clock)

    def teller(name: str):
        return lambda there: told.append((name, there))

    first, second, third = teller("1"), teller("2"), teller("3")
    assert admission.take_slot(never)
    assert not any(admission.take_slot(one) for one in (first, second, third))
    assert admission.withdraw(first)
    assert not admission.withdraw(first)
    admission.free()
    assert [("2", True)] == told
    assert not admission.withdraw(second)
    assert (2, 1) == (admission.started, admission.waiting)
    admission.give_back()
    assert [("2", True), ("3", True)] == told
    assert 2 == admission.started, "what was given back was not started"


def test_it_closes_after_so_many_tasks(clock):
    """And sends away who waits."""
    told: list[bool] = []
    admission = Admission(1, 2, clock, max_tasks=1)
    assert admission.take_slot(never)
    assert admission.closed
    with pytest.raises(HttpRefusal, match="stopping"):
        admission.take_slot(never)
    other = Admission(1, 2, clock, max_tasks=2)
    assert other.take_slot(never)
    assert not other.take_slot(told.append)
    assert not other.take_slot(told.append)
    other.free()
    assert [True, False] == told
    with pytest.raises(HttpRefusal, match="stopping"), other.admit():
        pytest.fail("it is closed")


def test_a_lease_ends_by_elapsed_time(clock):
    """Not before; each run that is over is told once, and those left are looked at every second."""
    admission = Admission(2, 0, clock)
    short, long = in_hand(clock, id_="1", deadline=60), in_hand(clock, id_="2", deadline=90)
    assert admission.look(clock.elapsed()) is None
    for run in (short, long):
        admission.begin(run)
    clock.step(timedelta(hours=1))
    assert clock.elapsed() + timedelta(seconds=1) == admission.look(clock.elapsed())
    clock.suspend(timedelta(seconds=60))
    admission.look(clock.elapsed())
    admission.look(clock.elapsed())
    assert (True, False, 1) == (short.lost.is_set(), long.lost.is_set(), admission.lease_lost)
    clock.advance(timedelta(seconds=29.5))
    assert long.ends == admission.look(clock.elapsed())
    admission.end(short)
    admission.end(long)
    assert admission.look(clock.elapsed()) is None


def test_a_run_whose_sender_has_hung_up_is_lost(clock):
    """At once where somebody tells; where somebody has to look, at the next look, a fifth of a second later."""
    admission = Admission(2, 0, clock)
    cut = [False]
    told, silent = HangUp(), HangUp(lambda: cut[0])
    runs = in_hand(clock, id_="1", hang_up=told), in_hand(clock, id_="2", hang_up=silent)
    for run in runs:
        admission.begin(run)
    assert clock.elapsed() + timedelta(seconds=0.2) == admission.look(clock.elapsed())
    told.report()
    assert [True, False] == [run.lost.is_set() for run in runs]
    cut[0] = True
    admission.look(clock.elapsed())
    assert [True, True] == [run.lost.is_set() for run in runs]
    assert (2, True) == (admission.lease_lost, admission.stuck)


def test_what_has_ended_is_lost_no_more(clock):
    """While it is settled, and after it: its task can't hear of it."""
    admission = Admission(1, 0, clock)
    hang_up = HangUp()
    run = in_hand(clock, hang_up=hang_up)
    admission.begin(run)
    assert admission.finish(run)
    hang_up.report()
    clock.advance(timedelta(hours=1))
    admission.look(clock.elapsed())
    admission.end(run)
    assert (False, 0) == (run.lost.is_set(), admission.lease_lost)


def test_what_is_given_up_does_not_count(clock):
    """It is told, and answered; its end comes to nothing. What is being settled is left to that."""
    admission = Admission(2, 0, clock)
    running, ended = in_hand(clock, id_="1"), in_hand(clock, id_="2")
    abandoned: list[int] = []
    running.abandon = lambda: abandoned.append(1)
    ended.abandon = lambda: pytest.fail("it has ended")
    for run in (running, ended):
        admission.begin(run)
    assert admission.finish(ended)
    assert (1, [1]) == (admission.give_up(), abandoned)
    assert (True, False) == (running.lost.is_set(), ended.lost.is_set())
    assert not admission.finish(running)
    assert 0 == admission.give_up()


@pytest.mark.parametrize(("deadline", "margin"), [(60, SETTLE_MARGIN), (15, timedelta(seconds=1.5))])
def test_a_task_has_less_time_than_its_push(clock, deadline, margin):
    """So that what took all its time is settled. It is a moment that can't be set."""
    run = in_hand(clock, deadline=deadline)
    assert clock.elapsed() + timedelta(seconds=deadline) - margin == run.until


def test_a_message_has_one_run(clock):
    """A second one may begin once the first has ended; whoever asked before is told whether it succeeded."""
    runs = Runs(clock)
    told: list[bool] = []
    first, second = in_hand(clock), in_hand(clock, retries=1)
    first.end_run()  # which has not begun
    assert first.begin_run(runs, told.append)
    assert not second.begin_run(runs, told.append)
    first.succeeded = True
    first.end_run()
    first.end_run()
    assert [True] == told
    assert second.begin_run(runs, told.append)


def test_an_observer_is_told_of_each_lease_that_is_lost(clock):
    """Once, though it is looked at again."""
    told = Told()
    admission = Admission(2, 0, clock, observer=told)
    run = in_hand(clock)
    admission.begin(run)
    clock.advance(timedelta(minutes=2))
    with admission.changed:
        admission.look(clock.elapsed())
        admission.look(clock.elapsed())
    assert run.lost.is_set()
    assert [("lease lost", run.delivery.queue)] == told.log
