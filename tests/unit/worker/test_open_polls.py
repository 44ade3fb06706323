"""The polls of a queue that are under way, and how many there may be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.testing import profiles
from cloudq.testing.clock import FakeClock
from cloudq.worker.open_polls import BURST_PAUSE, EARNED_BY, FRESH, OpenPolls, Poll, Reach, reach

MOMENT = timedelta(milliseconds=1)
EACH = 10


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Queue:
    """The polls of a queue whose tasks start as fast as they come."""

    def __init__(self, clock: FakeClock, *, polls: int = 8) -> None:
        self.polls = OpenPolls(Reach(EACH, polls))
        self.started = 0
        self._clock = clock

    def begin(self, limit: int = EACH, *, epoch: int = 0, beside: bool = False) -> Poll:
        """A poll begins."""
        now = self._clock.elapsed()
        poll = Poll("q", limit, began=now, epoch=epoch, started=self.started, beside=beside)
        self.polls.begin(poll)
        return poll

    def end(self, poll: Poll, brought: int | None, *, starts: int = 0) -> None:
        """It has brought that many, and that many were started meanwhile."""
        self.started += starts
        self.polls.end(poll, brought, self.started)

    def earn(self, count: int, *, starts: int = 1000) -> None:
        """So many full answers of the own poll, one after the other."""
        for _ in range(count):
            self.end(self.begin(), EACH, starts=starts)

    def widened(self, waiting: int = 0) -> int:
        """How many polls begin beside those under way."""
        count = 0
        while self.polls.widen(waiting, self._clock.elapsed()):
            self.begin(beside=True)
            count += 1
        return count


@pytest.fixture
def queue(clock: FakeClock) -> Queue:
    return Queue(clock)


# ── how much the polls of a queue bring ──────────────────────────────────────────────────────────────────


def test_several_polls_where_one_brings_a_part_only() -> None:
    """Of a standard queue of SQS there may be as many as the worker is set to have."""
    assert Reach(10, 8) == reach(profiles.sqs_like("q"), 8)


def test_one_poll_where_an_order_is_kept() -> None:
    """What a second one brought could begin before what the first one is about to bring (semantics 18)."""
    assert 1 == reach(profiles.sqs_like("q.fifo"), 8).polls


def test_one_poll_where_it_brings_all_that_is_asked_for() -> None:
    """Two would share what there is."""
    assert Reach(None, 1) == reach(profiles.service_bus_like("q"), 8)


# ── what is under way ────────────────────────────────────────────────────────────────────────────────────


def test_a_poll_is_fresh_for_a_quarter_of_a_second(clock: FakeClock, queue: Queue) -> None:
    """One that has waited for longer found its queue empty, and may bring what it asked for any time, not at once."""
    assert (0, None) == (queue.polls.fresh(clock.elapsed()), queue.polls.until_stale(clock.elapsed()))
    poll = queue.begin(5)
    clock.advance(FRESH - MOMENT)
    queue.begin(7)
    assert (12, MOMENT) == (queue.polls.fresh(clock.elapsed()), queue.polls.until_stale(clock.elapsed()))
    clock.advance(MOMENT)
    assert (7, FRESH - MOMENT) == (queue.polls.fresh(clock.elapsed()), queue.polls.until_stale(clock.elapsed()))
    assert 2 == len(queue.polls)
    queue.end(poll, 0)
    assert 1 == len(queue.polls)


def test_polls_that_find_nothing_one_after_the_other_are_fresh_for_as_long_as_one(
    clock: FakeClock, queue: Queue
) -> None:
    """Those that wait for less would else keep what they ask for from all other queues, each anew."""
    short = FRESH - MOMENT
    for _ in range(2):
        poll = queue.begin(5)
        clock.advance(short)
        queue.end(poll, 0)
    poll = queue.begin(5)
    assert (0, None) == (queue.polls.fresh(clock.elapsed()), queue.polls.until_stale(clock.elapsed()))
    queue.end(poll, 1)
    queue.begin(5)
    assert (5, FRESH) == (queue.polls.fresh(clock.elapsed()), queue.polls.until_stale(clock.elapsed()))


def test_an_empty_queue_rests_in_a_burst(clock: FakeClock, queue: Queue) -> None:
    """For half a second from the first look after the poll, unless something moved."""
    queue.end(queue.begin(epoch=1), 0)
    clock.advance(timedelta(hours=1))
    assert BURST_PAUSE == queue.polls.rest(clock.elapsed(), 1)
    assert queue.polls.rest(clock.elapsed(), 2) is None, "something moved"
    clock.advance(BURST_PAUSE - MOMENT)
    assert MOMENT == queue.polls.rest(clock.elapsed(), 1)
    clock.advance(MOMENT)
    assert queue.polls.rest(clock.elapsed(), 1) is None


def test_a_rest_begins_anew_with_each_poll(clock: FakeClock, queue: Queue) -> None:
    """What an earlier rest has used up doesn't count for the next one."""
    for _ in range(2):
        queue.end(queue.begin(epoch=1), 0)
        assert BURST_PAUSE == queue.polls.rest(clock.elapsed(), 1)
        clock.advance(BURST_PAUSE)


@pytest.mark.parametrize("brought", [0, 3])
def test_a_poll_that_failed_says_nothing_about_the_queue(clock: FakeClock, queue: Queue, brought: int) -> None:
    """Neither that it is empty nor that it isn't."""
    queue.end(queue.begin(epoch=1), brought)
    failed = queue.begin(epoch=1)
    queue.end(failed, None)
    assert (not brought) is (queue.polls.rest(clock.elapsed(), 1) is not None)
    assert 0 == len(queue.polls)
    queue.end(failed, 0)
    assert (not brought) is (queue.polls.rest(clock.elapsed(), 1) is not None), "it was over"


# ── how many there may be ────────────────────────────────────────────────────────────────────────────────


def test_each_poll_beside_the_own_one_is_earned_by_full_answers(queue: Queue) -> None:
    """While there is no backlog there is one."""
    queue.earn(EARNED_BY - 1)
    assert 0 == queue.widened()
    queue.earn(1)
    assert 1 == queue.widened()
    queue.earn(2 * EARNED_BY)
    assert 2 == queue.widened()


def test_there_are_never_more_than_the_bound(clock: FakeClock) -> None:
    """The own one counts, whether or not it is under way at the moment."""
    three = Queue(clock, polls=3)
    three.earn(1000)
    assert 2 == three.widened()
    three.begin()
    assert 0 == three.widened()


def test_with_a_bound_of_one_there_is_none(clock: FakeClock) -> None:
    """As of an ordered queue."""
    one = Queue(clock, polls=1)
    one.earn(1000)
    assert 0 == one.widened()


def test_an_own_poll_that_brings_less_than_it_asked_for_ends_them(queue: Queue) -> None:
    """It waits for messages and looks everywhere: the queue runs dry."""
    queue.earn(1000)
    queue.end(queue.begin(), EACH - 1)
    assert 0 == queue.widened()
    queue.earn(EARNED_BY)
    assert 1 == queue.widened()


def test_one_beside_it_that_brings_less_halves_them(queue: Queue) -> None:
    """Without a wait it may have looked at a part of the queue only."""
    queue.earn(1000)
    queue.end(queue.begin(beside=True), EACH - 1)
    assert 3 == queue.widened()


def test_the_only_one_beside_it_that_brings_less_is_earned_anew(queue: Queue) -> None:
    """So that where each does, calls rise by an eighth, and by no more."""
    queue.earn(2 * EARNED_BY - 1)
    queue.end(queue.begin(beside=True), EACH - 1)
    queue.earn(EARNED_BY - 1)
    assert 0 == queue.widened()
    queue.earn(1)
    assert 1 == queue.widened()


def test_an_answer_that_fills_a_small_request_says_nothing(queue: Queue) -> None:
    """It neither earns a poll nor loses one: there may be more messages, but there are few free slots."""
    queue.earn(EARNED_BY)
    queue.end(queue.begin(3), 3, starts=0)
    assert 1 == queue.widened()


@pytest.mark.parametrize("beside", [False, True])
def test_a_failure_loses_them_as_an_empty_answer_does(queue: Queue, beside: bool) -> None:
    """A backend in trouble isn't asked eight times as often."""
    queue.earn(EARNED_BY)
    queue.end(queue.begin(beside=beside), None)
    assert 0 == queue.widened()


def test_what_is_started_in_a_round_trip_decides_how_many(queue: Queue) -> None:
    """Twice that is waiting or on its way, so that with tasks started as fast as they come polls double."""
    queue.earn(1000, starts=15)
    queue.begin()
    assert 3 == queue.widened(), "10 + 30 are on their way then, which is no less than 2 * 15 + 10"


def test_what_waits_already_need_not_be_polled_for(queue: Queue) -> None:
    """Tasks that take longer than the round trips leave messages waiting: one poll at a time is enough."""
    queue.earn(1000, starts=15)
    queue.begin()
    assert 0 == queue.widened(waiting=30)
    assert 1 == queue.widened(waiting=29)


def test_slow_tasks_need_one_poll(queue: Queue) -> None:
    """Hardly any of them is started in a round trip."""
    queue.earn(1000, starts=0)
    queue.begin()
    assert 0 == queue.widened()
