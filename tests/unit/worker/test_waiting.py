"""What waits of one queue, what is known of its polls, and how many a poll may ask for."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.snooze_ways import HANDED_OVER_ENOUGH
from cloudq.running.held import HeldLease
from cloudq.testing.clock import FakeClock
from cloudq.worker.open_polls import FRESH, Poll, Reach
from cloudq.worker.waiting import (
    ONE_FOR_ALL,
    PATIENCE,
    Arrived,
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


def queue(name: str = "q", *, weight: int = 1, lease: timedelta = LEASE, reach: Reach = ONE_FOR_ALL) -> WaitingQueue:
    return WaitingQueue(name, weight, threading.Lock(), lease, reach)


def poll(queue: WaitingQueue, limit: int, now: timedelta) -> None:
    """A poll of the queue begins."""
    queue.polls.begin(Poll(queue.name, limit, began=now, epoch=0))


def arrive(queue: WaitingQueue, clock: FakeClock, count: int, *, deliveries: int = 1) -> list[HeldLease]:
    """That many come to wait."""
    held = [
        HeldLease(delivery(clock, queue=queue.name, deliveries=deliveries), clock.elapsed(), extendable=True)
        for _ in range(count)
    ]
    queue.waiting.extend(Arrived(one, clock.elapsed()) for one in held)
    return held


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


def test_what_was_given_back_uncounted_may_be_given_back_again(clock: FakeClock) -> None:
    """However often: it uses up none of the deliveries that a policy allows, and others may be free."""
    own = queue()
    [one] = arrive(own, clock, 1, deliveries=50)
    one.delivery = replace(one.delivery, known_ends=49)
    clock.advance(PATIENCE + MOMENT)
    assert [one] == own.take_stale(clock.elapsed())


def test_what_is_taken_back_waits_before_what_has_only_arrived(clock: FakeClock) -> None:
    """In the order in which it is taken back."""
    own, aside = queue(), queue()
    new, back = arrive(own, clock, 1), arrive(aside, clock, 2)
    for one in back:
        own.take_back(one, clock.elapsed())
    assert back + new == [one.held for one in own.waiting]


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
    poll(other, 7, now)
    assert 3 == wanted(own, queues, now, free=10, prefetch=0, left=None)
    assert 0 == wanted(own, queues, now, free=5, prefetch=0, left=None)
    assert FRESH == until_free(queues, now)
    clock.advance(FRESH)
    assert 10 == wanted(own, queues, clock.elapsed(), free=10, prefetch=0, left=None)
    assert until_free(queues, clock.elapsed()) is None


@pytest.mark.parametrize(("waiting", "asks"), [(0, 30), (10, 20), (11, 0), (20, 0)])
def test_a_poll_asks_for_many_or_none(clock: FakeClock, waiting: int, asks: int) -> None:
    """With room for 20, nothing is asked for while more than half of that waits."""
    own = queue()
    arrive(own, clock, waiting)
    assert asks == wanted(own, [own], clock.elapsed(), free=10, prefetch=20, left=None)


def test_a_poll_asks_for_no_more_than_may_be_started(clock: FakeClock) -> None:
    """With a bound on all starts, what fresh polls of others may bring is left to them."""
    own, other = queue("a"), queue("b")
    poll(other, 2, clock.elapsed())
    assert 1 == wanted(own, [own, other], clock.elapsed(), free=10, prefetch=20, left=3)
    assert 0 == wanted(own, [own, other], clock.elapsed(), free=10, prefetch=20, left=1)


def test_what_a_queues_own_polls_may_bring_is_not_asked_for_twice(clock: FakeClock) -> None:
    """Free slots and what may wait hold for the sum of a queue's polls under way."""
    own, now = queue(reach=Reach(10, 8)), clock.elapsed()
    assert [10, 10, 5, 0] == [asked(own, now, free=10, prefetch=15) for _ in range(4)]
    assert 10 == wanted(own, [own], now + FRESH, free=10, prefetch=15, left=None), "they found it empty"


def test_no_more_is_asked_for_than_one_receive_brings(clock: FakeClock) -> None:
    """What it can't bring is left to other polls. With a bound on all starts, each takes its part of it."""
    own, now = queue(reach=Reach(10, 8)), clock.elapsed()
    assert [10, 10, 3, 0] == [asked(own, now, free=100, prefetch=0, left=23) for _ in range(4)]


def asked(queue: WaitingQueue, now: timedelta, *, free: int, prefetch: int, left: int | None = None) -> int:
    """How many a poll asks for, which begins then if that is any."""
    count = wanted(queue, [queue], now, free=free, prefetch=prefetch, left=left)
    if count:
        poll(queue, count, now)
    return count


def test_turns_are_spread_by_weight(clock: FakeClock) -> None:
    """a=5, b=1 gives b its turn in the midst, not at the end; in strict order it gets none."""
    queues = [queue("a", weight=5), queue("b")]
    for one in queues:
        arrive(one, clock, 1)
    assert ["a", "a", "a", "b", "a", "a"] == [next_queue(queues, strict=False).name for _ in range(6)]
    assert ["a"] * 6 == [next_queue(queues, strict=True).name for _ in range(6)]
    queues[0].waiting.clear()
    assert "b" == next_queue(queues, strict=True).name
