"""How much polls ask for: free slots, and what will start soon; and what wakes a poller."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cloudq.testing.clock import FakeClock
from cloudq.worker.waiting import FRESH
from tests.unit.worker.intakes import held, make_intake, run_through, wanted


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_fresh_worker_asks_for_its_free_slots(clock: FakeClock) -> None:
    """Before anything has run, only free slots are asked for."""
    assert 10 == wanted(make_intake(clock))


def test_what_waits_and_what_runs_take_slots(clock: FakeClock) -> None:
    """A slot is spoken for while something waits for it, and while something runs in it."""
    intake = make_intake(clock)
    intake.offer("q", held(clock, 3))
    assert 7 == wanted(intake)
    one = intake.take()
    assert one is not None
    assert 7 == wanted(intake)
    intake.end(one, succeeded=True)
    assert 8 == wanted(intake)


def test_credit_follows_the_rate_of_starts(clock: FakeClock) -> None:
    """A queue that starts 100 a second may have 100 waiting; one that starts nothing for a while, none."""
    intake = make_intake(clock)
    for _ in range(10):
        run_through(intake, clock, 10)
        clock.advance(timedelta(milliseconds=100))
    assert 10 + 100 == wanted(intake)
    clock.advance(timedelta(seconds=3))
    assert 10 == wanted(intake)


def test_credit_is_bounded(clock: FakeClock) -> None:
    """However fast tasks are, no more than 500 wait for a slot."""
    intake = make_intake(clock)
    for _ in range(10):
        run_through(intake, clock, 1000)
        clock.advance(timedelta(milliseconds=100))
    assert 10 + 500 == wanted(intake)


def test_slow_tasks_get_no_credit(clock: FakeClock) -> None:
    """Tasks of a minute are received one by one, as slots get free."""
    intake = make_intake(clock, slots=2)
    run_through(intake, clock, 1)
    clock.advance(timedelta(seconds=60))
    run_through(intake, clock, 1)
    clock.advance(timedelta(seconds=60))
    assert 2 == wanted(intake)


def test_a_given_prefetch_is_taken_as_it_is(clock: FakeClock) -> None:
    """A fixed prefetch overrides the measurement."""
    assert 30 == wanted(make_intake(clock, prefetch=20))
    assert 10 == wanted(make_intake(clock, prefetch=0))


def test_no_small_polls_while_much_waits(clock: FakeClock) -> None:
    """With credit, a queue is polled again only when half of what may wait is used up."""
    intake = make_intake(clock, slots=1, prefetch=20)
    intake.offer("q", held(clock, 21))
    for _ in range(10):
        one = intake.take()
        assert one is not None
        assert 0 == wanted(intake)
        intake.end(one, succeeded=True)
        intake.note_settled("q")
    one = intake.take()
    assert one is not None
    assert 10 == wanted(intake)


def test_two_polls_do_not_ask_for_the_same_slots(clock: FakeClock) -> None:
    """What a poll has just asked for isn't asked for again, until it has found its queue empty."""
    intake = make_intake(clock, {"a": 1, "b": 1})
    assert 10 == intake.next_poll("a")
    assert 0 == wanted(intake, "b")
    clock.advance(timedelta(milliseconds=300))
    assert 10 == wanted(intake, "b")


def test_failing_settlements_stop_receiving(clock: FakeClock) -> None:
    """While settlements fail nothing is received; it goes on when they work, or when none is left to try."""
    intake = make_intake(clock)
    intake.offer("q", held(clock, 1))
    one = intake.take()
    assert one is not None
    intake.end(one, succeeded=True)
    intake.note_failing("q", True)
    assert 0 == wanted(intake)
    intake.note_settled("q")
    assert 10 == wanted(intake)


def test_a_poll_of_an_empty_queue_does_not_keep_the_last_tasks_to_itself(clock: FakeClock) -> None:
    """With max_tasks a poll that has waited for a while leaves what it asked for to other queues."""
    intake = make_intake(clock, {"a": 1, "b": 1}, max_tasks=1)
    assert 1 == intake.next_poll("a")
    assert 0 == wanted(intake, "b")
    clock.advance(FRESH)
    assert 1 == wanted(intake, "b")


def test_a_burst_leaves_empty_queues_alone_while_a_task_runs(clock: FakeClock) -> None:
    """An empty queue isn't polled again and again while a task runs: once it ends, or after half a second."""
    intake = make_intake(clock, burst=True)
    assert intake.next_poll("q")
    intake.offer("q", held(clock, 1))
    one = intake.take()
    assert one is not None
    intake.next_poll("q")
    intake.offer("q", [])
    polls: list[int] = []
    poller = threading.Thread(target=lambda: polls.append(intake.next_poll("q")))
    poller.start()
    clock.until_waiting(1)
    assert [] == polls
    intake.end(one, succeeded=True)
    intake.note_settled("q")
    poller.join(10)
    assert [10] == polls
    assert not intake.finished()
    intake.offer("q", [])
    assert intake.finished()


def test_a_parked_poller_wakes_when_a_slot_gets_free(clock: FakeClock) -> None:
    """A poller that has nothing to ask for sleeps until a task has ended."""
    intake = make_intake(clock, slots=1)
    intake.offer("q", held(clock, 1))
    one = intake.take()
    assert one is not None
    polls: list[int] = []
    poller = threading.Thread(target=lambda: polls.append(intake.next_poll("q")))
    poller.start()
    clock.until_waiting(1)
    intake.end(one, succeeded=True)
    poller.join(10)
    assert [1] == polls
