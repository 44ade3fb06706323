"""The intake: slots, weights, prefetch credit, and what is given back."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cloudq.core.outcome import ACKED
from cloudq.running.held import HeldLease
from cloudq.running.runs import FIRST_AWAY, Runs
from cloudq.testing.clock import FakeClock
from cloudq.worker.intake import MOST_SETTLING, Intake
from cloudq.worker.waiting import FRESH
from tests.unit.worker.fakes import delivery, until

LEASE = timedelta(seconds=120)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def make(clock: FakeClock, queues: Mapping[str, int] | None = None, *, slots: int = 10, **options: object) -> Intake:
    queues = queues or {"q": 1}
    options.setdefault("runs", Runs(clock))
    options.setdefault("leases", dict.fromkeys(queues, LEASE))
    return Intake(queues, slots=slots, clock=clock, **options)  # type: ignore[arg-type]  # any


def wanted(intake: Intake, queue: str = "q") -> int:
    """How many a poll of `queue` would ask for now; `next_poll` would block if that is nothing."""
    with intake._lock:
        return intake._wanted(intake._queues[queue], intake._clock.elapsed())


def held(clock: FakeClock, count: int, queue: str = "q", deliveries: int = 1) -> list[HeldLease]:
    return [
        HeldLease(delivery(clock, queue=queue, deliveries=deliveries), clock.elapsed(), extendable=True)
        for _ in range(count)
    ]


def stale(intake: Intake) -> list[HeldLease]:
    """What is given back now, without a delay."""
    return [one for one, delay in intake.take_stale() if not delay]


def run_through(intake: Intake, clock: FakeClock, count: int, queue: str = "q") -> None:
    """Starts, ends and settles so many."""
    intake.offer(queue, held(clock, count, queue))
    for _ in range(count):
        one = intake.take()
        assert one is not None
        intake.end(one, succeeded=True)
        intake.note_settled(queue)


def test_a_fresh_worker_asks_for_its_free_slots(clock: FakeClock) -> None:
    """Before anything has run, only free slots are asked for."""
    assert 10 == wanted(make(clock))


def test_what_waits_and_what_runs_take_slots(clock: FakeClock) -> None:
    """A slot is spoken for while something waits for it, and while something runs in it."""
    intake = make(clock)
    intake.offer("q", held(clock, 3))
    assert 7 == wanted(intake)
    one = intake.take()
    assert one is not None
    assert 7 == wanted(intake)
    intake.end(one, succeeded=True)
    assert 8 == wanted(intake)


def test_credit_follows_the_rate_of_starts(clock: FakeClock) -> None:
    """A queue that starts 100 a second may have 100 waiting; one that starts nothing for a while, none."""
    intake = make(clock)
    for _ in range(10):
        run_through(intake, clock, 10)
        clock.advance(timedelta(milliseconds=100))
    assert 10 + 100 == wanted(intake)
    clock.advance(timedelta(seconds=3))
    assert 10 == wanted(intake)


def test_credit_is_bounded(clock: FakeClock) -> None:
    """However fast tasks are, no more than 500 wait for a slot."""
    intake = make(clock)
    for _ in range(10):
        run_through(intake, clock, 1000)
        clock.advance(timedelta(milliseconds=100))
    assert 10 + 500 == wanted(intake)


def test_slow_tasks_get_no_credit(clock: FakeClock) -> None:
    """Tasks of a minute are received one by one, as slots get free."""
    intake = make(clock, slots=2)
    run_through(intake, clock, 1)
    clock.advance(timedelta(seconds=60))
    run_through(intake, clock, 1)
    clock.advance(timedelta(seconds=60))
    assert 2 == wanted(intake)


def test_a_given_prefetch_is_taken_as_it_is(clock: FakeClock) -> None:
    """A fixed prefetch overrides the measurement."""
    assert 30 == wanted(make(clock, prefetch=20))
    assert 10 == wanted(make(clock, prefetch=0))


def test_no_small_polls_while_much_waits(clock: FakeClock) -> None:
    """With credit, a queue is polled again only when half of what may wait is used up."""
    intake = make(clock, slots=1, prefetch=20)
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
    intake = make(clock, {"a": 1, "b": 1})
    assert 10 == intake.next_poll("a")
    assert 0 == wanted(intake, "b")
    clock.advance(timedelta(milliseconds=300))
    assert 10 == wanted(intake, "b")


def test_weights_share_the_slots(clock: FakeClock) -> None:
    """a=5, b=1: of twelve starts ten are of a, and b isn't left to the end."""
    intake = make(clock, {"a": 5, "b": 1}, slots=100)
    intake.offer("a", held(clock, 20, "a"))
    intake.offer("b", held(clock, 20, "b"))
    started = [one.delivery.queue for one in (intake.take() for _ in range(12)) if one]
    assert Counter(a=10, b=2) == Counter(started)
    assert "b" in started[:6]


def test_an_empty_queue_leaves_its_share_to_others(clock: FakeClock) -> None:
    """Weights count between queues that have something waiting."""
    intake = make(clock, {"a": 5, "b": 1}, slots=100)
    intake.offer("b", held(clock, 5, "b"))
    assert ["b"] * 5 == [one.delivery.queue for one in (intake.take() for _ in range(5)) if one]


def test_strict_order(clock: FakeClock) -> None:
    """With strict, a queue is served only while those before it have nothing waiting."""
    intake = make(clock, {"high": 1, "low": 9}, slots=100, strict=True)
    intake.offer("low", held(clock, 2, "low"))
    intake.offer("high", held(clock, 2, "high"))
    started = [one.delivery.queue for one in (intake.take() for _ in range(4)) if one]
    assert ["high", "high", "low", "low"] == started


def test_take_waits_for_a_slot(clock: FakeClock) -> None:
    """With all slots taken a waiting delivery starts only when one is freed."""
    intake = make(clock, slots=1)
    intake.offer("q", held(clock, 2))
    first = intake.take()
    assert first is not None
    taken: list[HeldLease | None] = []
    taker = threading.Thread(target=lambda: taken.append(intake.take()))
    taker.start()
    clock.until_waiting(1)
    assert [] == taken
    assert intake.end(first, succeeded=True)
    taker.join(10)
    assert 1 == len(taken)
    assert taken[0] is not None


def test_what_lost_its_lease_waiting_is_not_started(clock: FakeClock) -> None:
    """A delivery whose lease is lost is nobody's here: it is dropped, not run."""
    intake = make(clock)
    lost, kept = held(clock, 2)
    lost.lost.set()
    intake.offer("q", [lost, kept])
    assert kept is intake.take()
    assert 1 == intake.in_hand().total


def test_what_is_over_is_not_started(clock: FakeClock) -> None:
    """A machine that slept: what waited in the worker isn't started under a lease that is over, noticed or not."""
    intake = make(clock)
    [slept] = held(clock, 1)
    intake.offer("q", [slept])
    clock.suspend(LEASE)
    [fresh] = held(clock, 1)
    intake.offer("q", [fresh])
    assert fresh is intake.take()
    assert not slept.lost.is_set()


def test_too_many_settlements_stop_everything(clock: FakeClock) -> None:
    """While so many ended tasks aren't confirmed nothing is started or received (semantics 14)."""
    intake = make(clock, slots=1, prefetch=1000)
    intake.offer("q", held(clock, MOST_SETTLING + 1))
    for _ in range(MOST_SETTLING):
        one = intake.take()
        assert one is not None
        intake.end(one, succeeded=True)
    assert 0 == wanted(intake)
    assert not intake.short_of_takers()
    intake.note_settled("q")
    assert intake.short_of_takers()


def test_failing_settlements_stop_receiving(clock: FakeClock) -> None:
    """While settlements fail nothing is received; it goes on when they work, or when none is left to try."""
    intake = make(clock)
    intake.offer("q", held(clock, 1))
    one = intake.take()
    assert one is not None
    intake.end(one, succeeded=True)
    intake.note_failing("q", True)
    assert 0 == wanted(intake)
    intake.note_settled("q")
    assert 10 == wanted(intake)


def test_failing_settlements_stop_no_other_queue(clock: FakeClock) -> None:
    """Only the queue whose settlements fail isn't received from, and only while it has some to try."""
    intake = make(clock, {"a": 1, "b": 1})
    for queue in ("a", "b"):
        intake.offer(queue, held(clock, 1, queue))
        one = intake.take()
        assert one is not None
        intake.end(one, succeeded=True)
    intake.note_failing("a", True)
    assert (0, 10) == (wanted(intake, "a"), wanted(intake, "b"))
    intake.note_settled("b")
    assert 0 == wanted(intake, "a"), "another queue's settlement was confirmed"
    intake.note_settled("a")
    assert 10 == wanted(intake, "a")


def again(clock: FakeClock, one: HeldLease, *, id: str | None = None) -> HeldLease:  # noqa: A002 - the message's
    """A redelivery of it, or (with an id) the next message of its ordering key."""
    number = one.delivery.deliveries + (id is None)
    what = replace(one.delivery, group="k", id=id or one.delivery.id, deliveries=number)
    return HeldLease(what, clock.elapsed(), extendable=True)


def test_a_redelivery_of_what_runs_is_set_aside(clock: FakeClock) -> None:
    """It doesn't start and takes no slot from others; after half a lease it goes back, away for longer each time."""
    intake = make(clock)
    (first,) = held(clock, 1)
    intake.offer("q", [first])
    assert first is intake.take()
    first.lost.set()
    for delay in (FIRST_AWAY, 2 * FIRST_AWAY):
        second, (other,) = again(clock, first), held(clock, 1)
        intake.offer("q", [second, other])
        assert other is intake.take(), "what is set aside holds nobody up"
        assert not intake.short_of_takers()
        assert 1 == intake.in_hand().waiting
        intake.end(other, succeeded=True)
        intake.note_settled("q")
        assert 9 == wanted(intake)
        clock.advance(LEASE / 2 - timedelta(seconds=1))
        assert [] == intake.take_stale()
        clock.advance(timedelta(seconds=1))
        assert [(second, delay)] == intake.take_stale()
        assert (0, 1) == (intake.in_hand().waiting, intake.in_hand().settling)
        intake.note_settled("q")


def test_a_redelivery_of_what_succeeded_meanwhile_is_not_run(clock: FakeClock) -> None:
    """If the first run succeeds, the redelivery that waits for it is to be acknowledged unrun."""
    told: list[bool] = []
    intake = make(clock, on_change=lambda: told.append(True))
    (first,) = held(clock, 1)
    second = again(clock, first)
    intake.offer("q", [first, second])
    assert first is intake.take()
    threads = [threading.Thread(target=intake.take, daemon=True)]
    threads[0].start()
    until(lambda: intake._idle_takers)
    assert [] == intake.take_done_elsewhere()
    assert intake.end(first, succeeded=True)
    assert told, "the service is told to look"
    assert [(second, ACKED)] == intake.take_done_elsewhere()
    assert (0, 0, 2) == (intake.in_hand().waiting, intake.in_hand().running, intake.in_hand().settling)
    intake.close()
    threads[0].join(10)


def test_a_redelivery_that_had_no_turn_before_the_end_is_not_run(clock: FakeClock) -> None:
    """It waits for a thread, or is still to arrive, when the run that had lost its lease succeeds."""
    intake = make(clock)
    (first,) = held(clock, 1)
    intake.offer("q", [first])
    assert first is intake.take()
    first.lost.set()
    second = again(clock, first)
    intake.offer("q", [second])
    assert intake.end(first, succeeded=True)
    third, (other,) = again(clock, first), held(clock, 1)
    intake.offer("q", [third, other])
    assert other is intake.take()
    assert [(second, ACKED), (third, ACKED)] == intake.take_done_elsewhere()


@pytest.mark.parametrize("follower", [None, "next"], ids=["redelivery", "follower"])
def test_what_has_work_of_its_own_runs_after_the_run_in_its_way(clock: FakeClock, follower: str | None) -> None:
    """A redelivery of what failed, and a follower of the same ordering key, start once the first run has ended."""
    intake = make(clock)
    first = again(clock, held(clock, 1)[0])
    second = again(clock, first, id=follower)
    intake.offer("q", [first])
    assert first is intake.take()
    intake.offer("q", [second])
    taken: SimpleQueue[HeldLease | None] = SimpleQueue()
    taker = threading.Thread(target=lambda: taken.put(intake.take()))
    taker.start()
    until(lambda: len(intake._aside))
    assert intake.end(first, succeeded=follower is not None)
    assert second is taken.get(timeout=10)
    taker.join(10)


def test_what_is_set_aside_keeps_a_burst_going_and_goes_back_at_the_end(clock: FakeClock) -> None:
    """A burst isn't finished while something is set aside; closing gives it back with the rest."""
    intake = make(clock, burst=True)
    (first,) = held(clock, 1)
    second = again(clock, first)
    intake.offer("q", [first, second])
    assert first is intake.take()
    taker = threading.Thread(target=intake.take)
    taker.start()
    until(lambda: len(intake._aside))
    assert not intake.finished()
    assert [second] == intake.close()
    taker.join(10)
    assert [first] == intake.give_up_running()
    assert 2 == intake.in_hand().settling


def test_what_was_given_up_stands_in_nobodys_way(clock: FakeClock) -> None:
    """A run that a shutdown gave up counts no more: another worker of this process may run its message."""
    runs = Runs(clock)
    intake, other = make(clock, runs=runs), make(clock, runs=runs)
    (first,) = held(clock, 1)
    intake.offer("q", [first])
    assert first is intake.take()
    assert [first] == intake.give_up_running()
    second = again(clock, first)
    other.offer("q", [second])
    assert second is other.take()


def test_the_wall_clock_decides_nothing(clock: FakeClock) -> None:
    """A clock that is set makes nothing stale and gives no credit back."""
    intake = make(clock, {"a": 1, "b": 1}, slots=1)
    assert 1 == intake.next_poll("a")
    for step in (timedelta(hours=1), timedelta(hours=-2)):
        clock.step(step)
        assert 0 == wanted(intake, "b"), "the poll of a is as fresh as before"
    intake.offer("a", held(clock, 2, "a"))
    assert intake.take() is not None
    clock.step(timedelta(hours=3))
    assert [] == stale(intake)


def test_close_gives_back_what_waits(clock: FakeClock) -> None:
    """Closing returns all that hasn't started, wakes who waits, and refuses what a last poll brings."""
    intake = make(clock, slots=1)
    waiting = held(clock, 3)
    intake.offer("q", waiting)
    running = intake.take()
    ended: list[object] = []
    threads = [
        threading.Thread(target=lambda: ended.append(intake.take())),
        threading.Thread(target=lambda: ended.append(intake.next_poll("q"))),
    ]
    for thread in threads:
        thread.start()
    clock.until_waiting(2)
    assert waiting[1:] == intake.close()
    for thread in threads:
        thread.join(10)
    assert {None, 0} == set(ended)
    late = held(clock, 2)
    assert late == intake.offer("q", late)
    hand = intake.in_hand()
    assert (0, 1, 4) == (hand.waiting, hand.running, hand.settling)
    assert running is not None
    assert intake.end(running, succeeded=True)


def test_an_outcome_after_giving_up_counts_no_more(clock: FakeClock) -> None:
    """Either the handler's end or the shutdown has a delivery, never both."""
    intake = make(clock)
    intake.offer("q", held(clock, 1))
    one = intake.take()
    assert one is not None
    assert [one] == intake.give_up_running()
    assert not intake.end(one, succeeded=True)
    assert 1 == intake.in_hand().settling


def test_max_tasks_bounds_what_is_asked_for_and_started(clock: FakeClock) -> None:
    """With max_tasks no more are received or started, and it is finished when they are settled."""
    told: list[bool] = []
    intake = make(clock, max_tasks=2, on_change=lambda: told.append(True))
    assert 2 == wanted(intake)
    run_through(intake, clock, 1)
    assert 1 == wanted(intake)
    assert not intake.finished()
    run_through(intake, clock, 1)
    assert 0 == wanted(intake)
    assert intake.finished()
    assert told


def test_a_poll_of_an_empty_queue_does_not_keep_the_last_tasks_to_itself(clock: FakeClock) -> None:
    """With max_tasks a poll that has waited for a while leaves what it asked for to other queues."""
    intake = make(clock, {"a": 1, "b": 1}, max_tasks=1)
    assert 1 == intake.next_poll("a")
    assert 0 == wanted(intake, "b")
    clock.advance(FRESH)
    assert 1 == wanted(intake, "b")


def test_max_tasks_ends_though_too_much_was_received(clock: FakeClock) -> None:
    """With max_tasks what was received beyond them doesn't keep the worker: it is given back."""
    intake = make(clock, {"a": 1, "b": 1}, max_tasks=1)
    intake.offer("a", held(clock, 1, "a"))
    intake.offer("b", held(clock, 1, "b"))
    one = intake.take()
    assert one is not None
    intake.end(one, succeeded=True)
    assert not intake.finished()
    intake.note_settled("a")
    assert intake.finished()
    assert 1 == len(intake.close())


def test_all_idle_takers_are_woken_once_settlements_are_confirmed(clock: FakeClock) -> None:
    """Takers that found too much unsettled all start something as soon as there is room again."""
    slots = 3
    intake = make(clock, slots=slots)
    taken: SimpleQueue[HeldLease | None] = SimpleQueue()
    intake.adopt(held(clock, MOST_SETTLING))
    intake.offer("q", held(clock, slots))
    threads = [threading.Thread(target=lambda: taken.put(intake.take()), daemon=True) for _ in range(slots)]
    for thread in threads:
        thread.start()
    until(lambda: intake._idle_takers == slots)
    for _ in range(slots):
        intake.note_settled("q")
    assert slots == len({id(taken.get(timeout=5)) for _ in range(slots)})


def test_a_burst_ends_when_all_queues_were_found_empty(clock: FakeClock) -> None:
    """A burst is finished when every queue was polled in vain after the last delivery was settled."""
    intake = make(clock, {"a": 1, "b": 1}, burst=True)
    intake.next_poll("a")
    intake.offer("a", [])
    assert not intake.finished()
    intake.next_poll("b")
    run_through(intake, clock, 1, "b")
    assert not intake.finished()  # the task may have sent to a
    for queue in ("a", "b"):
        assert intake.next_poll(queue)
        intake.offer(queue, [])
    assert intake.finished()


def test_a_burst_leaves_empty_queues_alone_while_a_task_runs(clock: FakeClock) -> None:
    """An empty queue isn't polled again and again while a task runs: once it ends, or after half a second."""
    intake = make(clock, burst=True)
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


def test_what_waits_in_vain_is_handed_back(clock: FakeClock) -> None:
    """If a queue starts nothing for ten seconds, what waits goes back: another worker may be free."""
    intake = make(clock, slots=1)
    waiting = held(clock, 3)
    intake.offer("q", waiting)
    assert intake.take() is not None
    clock.advance(timedelta(seconds=10))
    assert [] == stale(intake)
    clock.advance(timedelta(seconds=1))
    assert waiting[1:] == stale(intake)
    assert [] == stale(intake)


def test_each_queue_goes_by_its_own_lease(clock: FakeClock) -> None:
    """What waits, or is set aside, goes back after a part of its own queue's lease, whatever the others' are."""
    leases = {"long": LEASE, "short": timedelta(seconds=8)}
    intake = make(clock, dict.fromkeys(leases, 1), slots=2, leases=leases)
    first: dict[str, HeldLease] = {}
    for queue in leases:
        (first[queue],) = held(clock, 1, queue)
        intake.offer(queue, [first[queue]])
        assert first[queue] is intake.take()
    waiting = {queue: held(clock, 1, queue) for queue in leases}
    for queue, ones in waiting.items():
        intake.offer(queue, ones)
    clock.advance(timedelta(seconds=2.1))
    assert waiting["short"] == stale(intake)


def test_what_was_handed_over_often_is_kept(clock: FakeClock) -> None:
    """Handing back uses up deliveries, so it can't be what makes a message poison (semantics 8)."""
    intake = make(clock, slots=1)
    intake.offer("q", held(clock, 1) + held(clock, 1, deliveries=5))
    assert intake.take() is not None
    clock.advance(timedelta(seconds=60))
    assert [] == stale(intake)


def test_a_parked_poller_wakes_when_a_slot_gets_free(clock: FakeClock) -> None:
    """A poller that has nothing to ask for sleeps until a task has ended."""
    intake = make(clock, slots=1)
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


@given(
    weights=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1),
    rounds=st.integers(1, 5),
)
def test_smooth_round_robin_is_exact(weights: dict[str, int], rounds: int) -> None:
    """Over a whole number of rounds every queue starts exactly its weight a round."""
    clock = FakeClock()
    total = sum(weights.values()) * rounds
    intake = make(clock, weights, slots=total, prefetch=total)
    for queue in weights:
        intake.offer(queue, held(clock, total, queue))
    started = Counter(one.delivery.queue for one in (intake.take() for _ in range(total)) if one)
    assert {queue: weight * rounds for queue, weight in weights.items()} == dict(started)


def test_many_threads_start_each_delivery_once(clock: FakeClock) -> None:
    """Eight takers and a slow trickle of offers: all are started, none twice, never more than the slots at once."""
    intake = make(clock, slots=3, prefetch=100)
    seen: list[HeldLease] = []
    at_once: list[int] = []

    def work() -> None:
        while (one := intake.take()) is not None:
            seen.append(one)
            at_once.append(intake.in_hand().running)
            intake.end(one, succeeded=True)
            intake.note_settled("q")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    all_of_them = [one for _ in range(100) for one in held(clock, 5)]
    for start in range(0, 500, 5):
        intake.offer("q", all_of_them[start : start + 5])
    until(lambda: intake.in_hand().total == 0)
    intake.close()
    for thread in threads:
        thread.join(10)
    assert 500 == len(seen)
    assert set(all_of_them) == set(seen)
    assert max(at_once) <= 3


def test_each_taker_wakes_the_next(clock: FakeClock) -> None:
    """Takers that are busy with what they took hold up none of the others, though an offer wakes one of them only."""
    intake = make(clock)
    taken: SimpleQueue[HeldLease | None] = SimpleQueue()
    takers = [threading.Thread(target=lambda: taken.put(intake.take())) for _ in range(5)]
    for taker in takers:
        taker.start()
    clock.until_waiting(5)
    offered = held(clock, 5)
    intake.offer("q", offered)
    assert set(offered) == {taken.get(timeout=10) for _ in range(5)}
    for taker in takers:
        taker.join()
