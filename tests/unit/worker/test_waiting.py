"""What waits of one queue, what is known of its polls, and how many a poll may ask for."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cloudq.running.held import HeldLease
from cloudq.testing.clock import FakeClock
from cloudq.worker.waiting import (
    BURST_PAUSE,
    FRESH,
    HANDED_OVER_ENOUGH,
    PATIENCE,
    Arrived,
    Poll,
    WaitingQueue,
    next_queue,
    until_free,
    wanted,
)
from tests.unit.worker.fakes import delivery

LEASE = timedelta(seconds=120)
MOMENT = timedelta(milliseconds=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def queue(name: str = "q", *, weight: int = 1, lease: timedelta = LEASE) -> WaitingQueue:
    return WaitingQueue(name, weight, threading.Lock(), lease)


def arrive(queue: WaitingQueue, clock: FakeClock, count: int, *, deliveries: int = 1) -> list[HeldLease]:
    """That many come to wait."""
    held = [
        HeldLease(delivery(clock, queue=queue.name, deliveries=deliveries), clock.elapsed(), extendable=True)
        for _ in range(count)
    ]
    queue.waiting.extend(Arrived(one, clock.elapsed()) for one in held)
    return held


class TestPoll:
    """One queue's polls."""

    def test_a_poll_is_fresh_for_a_quarter_of_a_second(self, clock: FakeClock) -> None:
        """A poll that has waited for longer found its queue empty; one that is over isn't fresh either."""
        poll = Poll()
        assert not poll.is_fresh(clock.elapsed())
        poll.begin(5, clock.elapsed(), 0)
        clock.advance(FRESH - MOMENT)
        assert poll.is_fresh(clock.elapsed())
        clock.advance(MOMENT)
        assert not poll.is_fresh(clock.elapsed())
        poll.begin(5, clock.elapsed(), 0)
        poll.end(found_nothing=True)
        assert not poll.is_fresh(clock.elapsed())

    def test_an_empty_queue_rests_in_a_burst(self, clock: FakeClock) -> None:
        """For half a second from the first look after the poll, unless something moved."""
        poll = Poll()
        poll.begin(5, clock.elapsed(), 1)
        poll.end(found_nothing=True)
        clock.advance(timedelta(hours=1))
        assert BURST_PAUSE == poll.rest(clock.elapsed(), 1)
        assert poll.rest(clock.elapsed(), 2) is None, "something moved"
        clock.advance(BURST_PAUSE - MOMENT)
        assert MOMENT == poll.rest(clock.elapsed(), 1)
        clock.advance(MOMENT)
        assert poll.rest(clock.elapsed(), 1) is None

    def test_a_rest_begins_anew_with_each_poll(self, clock: FakeClock) -> None:
        """What an earlier rest has used up doesn't count for the next one."""
        poll = Poll()
        for _ in range(2):
            poll.begin(5, clock.elapsed(), 1)
            poll.end(found_nothing=True)
            assert BURST_PAUSE == poll.rest(clock.elapsed(), 1)
            clock.advance(BURST_PAUSE)

    def test_a_poll_that_failed_says_nothing_about_the_queue(self, clock: FakeClock) -> None:
        """Neither that it is empty nor that it isn't."""
        poll = Poll()
        for found in (True, False):
            poll.begin(5, clock.elapsed(), 1)
            poll.end(found_nothing=found)
            poll.begin(5, clock.elapsed(), 1)
            poll.end(found_nothing=None)
            assert found is poll.found_nothing
            assert 0 == poll.asked


def test_what_has_waited_for_too_long_is_stale(clock: FakeClock) -> None:
    """After ten seconds without a start; what came later stays, and so does what was handed over often."""
    own = queue()
    early, often = arrive(own, clock, 2), arrive(own, clock, 1, deliveries=HANDED_OVER_ENOUGH)
    clock.advance(timedelta(seconds=5))
    late = arrive(own, clock, 1)
    clock.advance(PATIENCE - timedelta(seconds=5))
    assert [] == own.take_stale(clock.elapsed())
    clock.advance(MOMENT)
    assert early == own.take_stale(clock.elapsed())
    assert often + late == [one.held for one in own.waiting]


def test_a_queue_that_starts_something_is_not_stale(clock: FakeClock) -> None:
    """What waits in a queue that is being worked on will have its turn."""
    own = queue()
    arrive(own, clock, 1)
    clock.advance(2 * PATIENCE)
    own.last_start = clock.elapsed() - PATIENCE + MOMENT
    assert [] == own.take_stale(clock.elapsed())


def test_patience_is_a_quarter_of_a_short_lease(clock: FakeClock) -> None:
    """Each queue goes by its own lease."""
    own = queue(lease=timedelta(seconds=8))
    waiting = arrive(own, clock, 1)
    clock.advance(timedelta(seconds=2) + MOMENT)
    assert waiting == own.take_stale(clock.elapsed())


def test_a_poll_asks_for_free_slots_that_no_other_poll_has_asked_for(clock: FakeClock) -> None:
    """And not for fewer than nothing."""
    own, other = queue("a"), queue("b")
    queues, now = [own, other], clock.elapsed()
    assert 10 == wanted(own, queues, now, free=10, prefetch=0, left=None)
    other.poll.begin(7, now, 0)
    assert 3 == wanted(own, queues, now, free=10, prefetch=0, left=None)
    assert 0 == wanted(own, queues, now, free=5, prefetch=0, left=None)
    assert FRESH == until_free(own, queues, now)
    clock.advance(FRESH)
    assert 10 == wanted(own, queues, clock.elapsed(), free=10, prefetch=0, left=None)
    assert until_free(own, queues, clock.elapsed()) is None


@pytest.mark.parametrize(("waiting", "asks"), [(0, 30), (10, 20), (11, 0), (20, 0)])
def test_a_poll_asks_for_many_or_none(clock: FakeClock, waiting: int, asks: int) -> None:
    """With room for 20, nothing is asked for while more than half of that waits."""
    own = queue()
    arrive(own, clock, waiting)
    assert asks == wanted(own, [own], clock.elapsed(), free=10, prefetch=20, left=None)


def test_a_poll_asks_for_no_more_than_may_be_started(clock: FakeClock) -> None:
    """With a bound on all starts, what fresh polls of others may bring is left to them."""
    own, other = queue("a"), queue("b")
    other.poll.begin(2, clock.elapsed(), 0)
    assert 1 == wanted(own, [own, other], clock.elapsed(), free=10, prefetch=20, left=3)
    assert 0 == wanted(own, [own, other], clock.elapsed(), free=10, prefetch=20, left=1)


def test_turns_are_spread_by_weight(clock: FakeClock) -> None:
    """a=5, b=1 gives b its turn in the midst, not at the end; in strict order it gets none."""
    queues = [queue("a", weight=5), queue("b")]
    for one in queues:
        arrive(one, clock, 1)
    assert ["a", "a", "a", "b", "a", "a"] == [next_queue(queues, strict=False).name for _ in range(6)]
    assert ["a"] * 6 == [next_queue(queues, strict=True).name for _ in range(6)]
    queues[0].waiting.clear()
    assert "b" == next_queue(queues, strict=True).name
