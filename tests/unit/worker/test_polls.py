"""How much polls ask for: free slots, and what will start soon; and what wakes a poller."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cloudq.testing.clock import FakeClock
from cloudq.worker.intake import Intake
from cloudq.worker.open_polls import BURST_PAUSE, EARNED_BY, FRESH, Poll, Reach
from tests.unit.worker.fakes import until
from tests.unit.worker.intakes import arrive, begin, held, make_intake, run_through, wanted, work_off


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_fresh_worker_asks_for_its_free_slots(clock: FakeClock) -> None:
    """Before anything has run, only free slots are asked for."""
    assert 10 == wanted(make_intake(clock))


def test_what_waits_and_what_runs_take_slots(clock: FakeClock) -> None:
    """A slot is spoken for while something waits for it, and while something runs in it."""
    intake = make_intake(clock)
    arrive(intake, "q", held(clock, 3))
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
    arrive(intake, "q", held(clock, 21))
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
    assert 10 == begin(intake, "a").limit
    assert 0 == wanted(intake, "b")
    clock.advance(timedelta(milliseconds=300))
    assert 10 == wanted(intake, "b")


def test_failing_settlements_stop_receiving(clock: FakeClock) -> None:
    """While settlements fail nothing is received; it goes on when they work, or when none is left to try."""
    intake = make_intake(clock)
    arrive(intake, "q", held(clock, 1))
    one = intake.take()
    assert one is not None
    intake.end(one, succeeded=True)
    intake.stops.note_failing("q", True)
    assert 0 == wanted(intake)
    intake.note_settled("q")
    assert 10 == wanted(intake)


def test_a_poll_of_an_empty_queue_does_not_keep_the_last_tasks_to_itself(clock: FakeClock) -> None:
    """With max_tasks a poll that has waited for a while leaves what it asked for to other queues."""
    intake = make_intake(clock, {"a": 1, "b": 1}, max_tasks=1)
    assert 1 == begin(intake, "a").limit
    assert 0 == wanted(intake, "b")
    clock.advance(FRESH)
    assert 1 == wanted(intake, "b")


def test_a_burst_leaves_empty_queues_alone_while_a_task_runs(clock: FakeClock) -> None:
    """An empty queue isn't polled again and again while a task runs: once it ends, or after half a second."""
    intake = make_intake(clock, burst=True)
    intake.offer(begin(intake), held(clock, 1))
    one = intake.take()
    assert one is not None
    intake.offer(begin(intake), [])
    polls: list[Poll] = []
    poller = threading.Thread(target=lambda: polls.append(begin(intake)))
    poller.start()
    clock.until_waiting(1)
    assert [] == polls
    intake.end(one, succeeded=True)
    intake.note_settled("q")
    poller.join(60)
    assert [10] == [poll.limit for poll in polls]
    assert not intake.finished()
    intake.offer(polls[0], [])
    assert intake.finished()


def test_a_parked_poller_wakes_when_a_slot_gets_free(clock: FakeClock) -> None:
    """A poller that has nothing to ask for sleeps until a task has ended."""
    intake = make_intake(clock, slots=1)
    arrive(intake, "q", held(clock, 1))
    one = intake.take()
    assert one is not None
    polls: list[Poll] = []
    poller = threading.Thread(target=lambda: polls.append(begin(intake)))
    poller.start()
    clock.until_waiting(1)
    intake.end(one, succeeded=True)
    poller.join(60)
    assert [1] == [poll.limit for poll in polls]


# ── several polls of a queue ─────────────────────────────────────────────────────────────────────────────

EACH = 10


def make_busy(clock: FakeClock, *, slots: int = 100, **options: object) -> Intake:
    """An intake of a queue with a backlog, whose full answers have earned it all the polls that there may be."""
    intake = make_intake(clock, reach={"q": Reach(EACH, 8)}, slots=slots, **options)
    for _ in range(8 * EARNED_BY):
        poll = begin(intake)
        run_through(intake, clock, 200)
        intake.offer(poll, held(clock, EACH))
        for _ in range(EACH):
            work_off(intake)
    return intake


def beside(intake: Intake) -> list[Poll]:
    """All the polls that begin beside those under way."""
    return list(iter(lambda: intake.poll_beside("q"), None))


def test_several_polls_share_the_credit(clock: FakeClock) -> None:
    """Free slots and prefetch hold for the sum of all polls of a queue under way, its own one included."""
    intake = make_busy(clock, slots=30, prefetch=20)
    begin(intake)
    assert [EACH] * 4 == [poll.limit for poll in beside(intake)]
    assert 0 == wanted(intake)


def test_none_begins_for_a_few_only(clock: FakeClock) -> None:
    """It would cost as much as one that asks for ten: what is left is for the next own poll."""
    intake = make_busy(clock, slots=29, prefetch=0)
    begin(intake)
    assert [EACH] == [poll.limit for poll in beside(intake)]


def test_none_begins_beside_one_for_tasks_that_are_never_started(clock: FakeClock) -> None:
    """With max_tasks all polls together ask for no more than may still be started."""
    intake = make_busy(clock, prefetch=500, max_tasks=8 * EARNED_BY * 210 + 25)
    assert EACH == begin(intake).limit
    assert [EACH] == [poll.limit for poll in beside(intake)]
    assert 5 == wanted(intake)


def test_none_begins_once_polling_has_ended(clock: FakeClock) -> None:
    """Nor while settlements fail."""
    intake = make_busy(clock)
    arrive(intake, "q", held(clock, 1))
    one = intake.take()
    assert one is not None
    intake.end(one, succeeded=True)
    intake.stops.note_failing("q", True)
    assert intake.poll_beside("q") is None
    intake.stops.note_failing("q", False)
    assert intake.poll_beside("q") is not None
    intake.close()
    assert intake.poll_beside("q") is None


@pytest.mark.parametrize("fails", [True, False])
def test_the_own_poll_waits_for_what_those_beside_it_may_bring(clock: FakeClock, fails: bool) -> None:
    """Until one of them has failed, or has found nothing for a while."""
    intake = make_busy(clock, slots=20, prefetch=0)
    own, [other] = begin(intake), beside(intake)
    intake.offer(own, held(clock, EACH))
    polls: list[Poll] = []
    poller = threading.Thread(target=lambda: polls.append(begin(intake)))
    poller.start()
    clock.until_waiting(1)
    assert [] == polls
    if fails:
        intake.drop_poll(other)
    else:
        clock.advance(FRESH)
    poller.join(60)
    assert [EACH] == [poll.limit for poll in polls]


def test_a_burst_does_not_end_while_another_poll_is_open(clock: FakeClock) -> None:
    """It may still bring something, whatever another one has found meanwhile; when it ends, the burst may end too."""
    told: list[bool] = []
    intake = make_busy(clock, burst=True, on_change=lambda: told.append(intake.finished()))
    own, (first, second, *others) = begin(intake), beside(intake)
    for poll in (own, *others):
        intake.offer(poll, [])
    assert not intake.finished()
    intake.offer(first, held(clock, 1))
    intake.offer(second, [])
    work_off(intake)
    assert not intake.finished(), "the task may have sent something, which none of them was asked for"
    told.clear()
    intake.offer(begin(intake), [])
    assert [True] == told


def test_a_burst_looks_again_after_one_that_failed(clock: FakeClock) -> None:
    """An empty answer to a poll beside which another was open says nothing about what that one would have brought."""
    intake = make_busy(clock, burst=True)
    own, other = begin(intake), intake.poll_beside("q")
    assert other is not None
    intake.offer(own, [])
    intake.drop_poll(other)
    assert not intake.finished()
    assert 0 == wanted(intake), "it rests"
    clock.advance(BURST_PAUSE)
    intake.offer(begin(intake), [])
    assert intake.finished()


@pytest.mark.parametrize("fails", [False, True])
def test_a_burst_is_told_when_its_last_poll_is_over(clock: FakeClock, fails: bool) -> None:
    """Also if that one failed, after others had found all queues empty."""
    told: list[bool] = []
    intake = make_intake(clock, {"a": 1, "b": 1}, burst=True, on_change=lambda: told.append(intake.finished()))
    intake.offer(begin(intake, "a"), [])
    assert 0 == wanted(intake, "a"), "it rests"
    clock.advance(BURST_PAUSE)
    again, other = begin(intake, "a"), Poll("b", EACH, began=clock.elapsed(), epoch=0)
    intake.offer(other, [])
    assert [] == told
    if fails:
        intake.drop_poll(again)
    else:
        intake.offer(again, [])
    assert [True] == told


def test_with_strict_a_queue_asks_before_those_behind_it(clock: FakeClock) -> None:
    """The slot that gets free is for its poll. Only when that has found nothing at once is another queue asked."""
    intake = make_intake(clock, {"high": 1, "low": 1}, slots=1, strict=True, prefetch=0)
    arrive(intake, "high", held(clock, 1, "high"))
    running = intake.take()
    assert running is not None
    asked: list[str] = []

    def ask(queue: str) -> None:
        if intake.next_poll(queue) is not None:
            asked.append(queue)

    threads = [threading.Thread(target=ask, args=[queue]) for queue in ("low", "high")]
    for number, thread in enumerate(threads, 1):
        thread.start()
        clock.until_waiting(number)
    intake.end(running, succeeded=True)
    threads[1].join(60)
    clock.until_waiting(1)
    assert ["high"] == asked
    clock.advance(FRESH)
    # Its look before that moment may begin to wait after it: no time passes, but its wait ends.
    until(lambda: not threads[0].is_alive() or clock.advance(timedelta(0)))
    assert ["high", "low"] == asked
