"""The intake: slots, weights, prefetch credit, and what is given back."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cloudq.core.notes import NoteWrite
from cloudq.core.outcome import DUPLICATE
from cloudq.core.owed_notes import OwedNote, OwedNotes
from cloudq.running.held import HeldLease
from cloudq.running.runs import FIRST_AWAY, Runs
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.testing.clock import FakeClock
from cloudq.worker.books import MOST_SETTLING
from cloudq.worker.intake import Intake
from tests.unit.worker.fakes import until
from tests.unit.worker.intakes import LEASE, arrive, begin, held, make_intake, run_through, wanted


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def stale(intake: Intake) -> list[HeldLease]:
    """What is given back now, without a delay."""
    return [one for one, delay in intake.take_stale() if not delay]


def test_weights_share_the_slots(clock: FakeClock) -> None:
    """a=5, b=1: of twelve starts ten are of a, and b isn't left to the end."""
    intake = make_intake(clock, {"a": 5, "b": 1}, slots=100)
    arrive(intake, "a", held(clock, 20, "a"))
    arrive(intake, "b", held(clock, 20, "b"))
    started = [one.delivery.queue for one in (intake.take() for _ in range(12)) if one]
    assert Counter(a=10, b=2) == Counter(started)
    assert "b" in started[:6]


def test_an_empty_queue_leaves_its_share_to_others(clock: FakeClock) -> None:
    """Weights count between queues that have something waiting."""
    intake = make_intake(clock, {"a": 5, "b": 1}, slots=100)
    arrive(intake, "b", held(clock, 5, "b"))
    assert ["b"] * 5 == [one.delivery.queue for one in (intake.take() for _ in range(5)) if one]


def test_strict_order(clock: FakeClock) -> None:
    """With strict, a queue is served only while those before it have nothing waiting."""
    intake = make_intake(clock, {"high": 1, "low": 9}, slots=100, strict=True)
    arrive(intake, "low", held(clock, 2, "low"))
    arrive(intake, "high", held(clock, 2, "high"))
    started = [one.delivery.queue for one in (intake.take() for _ in range(4)) if one]
    assert ["high", "high", "low", "low"] == started


def test_take_waits_for_a_slot(clock: FakeClock) -> None:
    """With all slots taken a waiting delivery starts only when one is freed."""
    intake = make_intake(clock, slots=1)
    arrive(intake, "q", held(clock, 2))
    first = intake.take()
    assert first is not None
    taken: list[HeldLease | None] = []
    taker = threading.Thread(target=lambda: taken.append(intake.take()))
    taker.start()
    clock.until_waiting(1)
    assert [] == taken
    assert intake.end(first, succeeded=True)
    taker.join(60)
    assert 1 == len(taken)
    assert taken[0] is not None


def test_what_lost_its_lease_waiting_is_not_started(clock: FakeClock) -> None:
    """A delivery whose lease is lost is nobody's here: it is dropped, not run."""
    intake = make_intake(clock)
    lost, kept = held(clock, 2)
    lost.lost.set()
    arrive(intake, "q", [lost, kept])
    assert kept is intake.take()
    assert 1 == intake.in_hand().total


def test_what_is_over_is_not_started(clock: FakeClock) -> None:
    """A machine that slept: what waited in the worker isn't started under a lease that is over, noticed or not."""
    intake = make_intake(clock)
    [slept] = held(clock, 1)
    arrive(intake, "q", [slept])
    clock.suspend(LEASE)
    [fresh] = held(clock, 1)
    arrive(intake, "q", [fresh])
    assert fresh is intake.take()
    assert not slept.lost.is_set()


def test_failing_settlements_stop_no_other_queue(clock: FakeClock) -> None:
    """Only the queue whose settlements fail isn't received from, and only while it has some to try."""
    intake = make_intake(clock, {"a": 1, "b": 1})
    for queue in ("a", "b"):
        arrive(intake, queue, held(clock, 1, queue))
        one = intake.take()
        assert one is not None
        intake.end(one, succeeded=True)
    intake.stops.note_failing("a", True)
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
    intake = make_intake(clock)
    (first,) = held(clock, 1)
    arrive(intake, "q", [first])
    assert first is intake.take()
    first.lost.set()
    for delay in (FIRST_AWAY, 2 * FIRST_AWAY):
        second, (other,) = again(clock, first), held(clock, 1)
        arrive(intake, "q", [second, other])
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
    intake = make_intake(clock, on_change=lambda: told.append(True))
    (first,) = held(clock, 1)
    second = again(clock, first)
    arrive(intake, "q", [first, second])
    assert first is intake.take()
    threads = [threading.Thread(target=intake.take, daemon=True)]
    threads[0].start()
    until(lambda: intake._books.idle_takers)
    assert [] == intake.take_done_elsewhere()
    assert intake.end(first, succeeded=True)
    assert told, "the service is told to look"
    assert [(second, DUPLICATE)] == intake.take_done_elsewhere()
    assert (0, 0, 2) == (intake.in_hand().waiting, intake.in_hand().running, intake.in_hand().settling)
    intake.close()
    threads[0].join(60)


@pytest.mark.parametrize("redelivered", ["waits", "is to be expected", "no"])
def test_what_is_owed_of_a_run_is_noted_before_its_redelivery_is_acknowledged(
    clock: FakeClock, redelivered: str
) -> None:
    """Else a crash in between would leave a message that is gone, and no note of how it ended."""
    intake = make_intake(clock)
    (first,) = held(clock, 1)
    arrive(intake, "q", [first])
    assert first is intake.take()
    if redelivered == "waits":
        arrive(intake, "q", [again(clock, first)])
        taker = threading.Thread(target=intake.take, daemon=True)
        taker.start()
        until(lambda: intake._books.idle_takers)
    if redelivered == "is to be expected":
        first.lost.set()
    first.owed, notes = OwedNotes(), MemoryNotes(clock)
    write = NoteWrite(name="how it ended", text=b"", after=0, keep=timedelta(days=1))
    first.owed.end(OwedNote(notes, write, lambda _: None))
    assert intake.end(first, succeeded=True)
    assert (notes.read("how it ended") is not None) is (redelivered != "no")
    intake.close()
    if redelivered == "waits":
        taker.join(60)


def test_a_redelivery_that_had_no_turn_before_the_end_is_not_run(clock: FakeClock) -> None:
    """It waits for a thread, or is still to arrive, when the run that had lost its lease succeeds."""
    intake = make_intake(clock)
    (first,) = held(clock, 1)
    arrive(intake, "q", [first])
    assert first is intake.take()
    first.lost.set()
    second = again(clock, first)
    arrive(intake, "q", [second])
    assert intake.end(first, succeeded=True)
    third, (other,) = again(clock, first), held(clock, 1)
    arrive(intake, "q", [third, other])
    assert other is intake.take()
    assert [(second, DUPLICATE), (third, DUPLICATE)] == intake.take_done_elsewhere()


@pytest.mark.parametrize("follower", [None, "next"], ids=["redelivery", "follower"])
def test_what_has_work_of_its_own_runs_after_the_run_in_its_way(clock: FakeClock, follower: str | None) -> None:
    """A redelivery of what failed, and a follower of the same ordering key, start once the first run has ended."""
    intake = make_intake(clock)
    first = again(clock, held(clock, 1)[0])
    second = again(clock, first, id=follower)
    arrive(intake, "q", [first])
    assert first is intake.take()
    arrive(intake, "q", [second])
    taken: SimpleQueue[HeldLease | None] = SimpleQueue()
    taker = threading.Thread(target=lambda: taken.put(intake.take()))
    taker.start()
    until(lambda: len(intake._books.aside))
    assert intake.end(first, succeeded=follower is not None)
    assert second is taken.get(timeout=60)
    taker.join(60)


def test_followers_of_an_ordering_key_that_were_set_aside_run_in_their_order(clock: FakeClock) -> None:
    """The one that came first is the next, also where both are taken back before anything is started."""
    intake = make_intake(clock)
    first = again(clock, held(clock, 1)[0])
    second, third, fourth = (again(clock, first, id=name) for name in ("second", "third", "fourth"))
    (other,) = held(clock, 1)
    arrive(intake, "q", [first])
    assert first is intake.take()
    arrive(intake, "q", [second, third, other])
    assert other is intake.take()
    assert 2 == len(intake._books.aside)
    arrive(intake, "q", [fourth])
    assert intake.end(first, succeeded=True)
    assert second is intake.take()
    assert intake.end(second, succeeded=True)
    assert third is intake.take()


def test_what_is_set_aside_keeps_a_burst_going_and_goes_back_at_the_end(clock: FakeClock) -> None:
    """A burst isn't finished while something is set aside; closing gives it back with the rest."""
    intake = make_intake(clock, burst=True)
    (first,) = held(clock, 1)
    second = again(clock, first)
    arrive(intake, "q", [first, second])
    assert first is intake.take()
    taker = threading.Thread(target=intake.take)
    taker.start()
    until(lambda: len(intake._books.aside))
    assert not intake.finished()
    assert [second] == intake.close()
    taker.join(60)
    assert [first] == intake.give_up_running()
    assert 2 == intake.in_hand().settling


def test_what_was_given_up_stands_in_nobodys_way(clock: FakeClock) -> None:
    """A run that a shutdown gave up counts no more: another worker of this process may run its message."""
    runs = Runs(clock)
    intake, other = make_intake(clock, runs=runs), make_intake(clock, runs=runs)
    (first,) = held(clock, 1)
    arrive(intake, "q", [first])
    assert first is intake.take()
    assert [first] == intake.give_up_running()
    second = again(clock, first)
    arrive(other, "q", [second])
    assert second is other.take()


def test_the_wall_clock_decides_nothing(clock: FakeClock) -> None:
    """A clock that is set makes nothing stale and gives no credit back."""
    intake = make_intake(clock, {"a": 1, "b": 1}, slots=1)
    assert 1 == begin(intake, "a").limit
    for step in (timedelta(hours=1), timedelta(hours=-2)):
        clock.step(step)
        assert 0 == wanted(intake, "b"), "the poll of a is as fresh as before"
    arrive(intake, "a", held(clock, 2, "a"))
    assert intake.take() is not None
    clock.step(timedelta(hours=3))
    assert [] == stale(intake)


def test_close_gives_back_what_waits(clock: FakeClock) -> None:
    """Closing returns all that hasn't started, wakes who waits, and refuses what a last poll brings."""
    intake = make_intake(clock, slots=1)
    waiting = held(clock, 3)
    arrive(intake, "q", waiting)
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
        thread.join(60)
    assert [None, None] == ended
    late = held(clock, 2)
    assert late == arrive(intake, "q", late)
    hand = intake.in_hand()
    assert (0, 1, 4) == (hand.waiting, hand.running, hand.settling)
    assert running is not None
    assert intake.end(running, succeeded=True)


def test_an_outcome_after_giving_up_counts_no_more(clock: FakeClock) -> None:
    """Either the handler's end or the shutdown has a delivery, never both."""
    intake = make_intake(clock)
    arrive(intake, "q", held(clock, 1))
    one = intake.take()
    assert one is not None
    assert [one] == intake.give_up_running()
    assert not intake.end(one, succeeded=True)
    assert 1 == intake.in_hand().settling


def test_max_tasks_bounds_what_is_asked_for_and_started(clock: FakeClock) -> None:
    """With max_tasks no more are received or started, and it is finished when they are settled."""
    told: list[bool] = []
    intake = make_intake(clock, max_tasks=2, on_change=lambda: told.append(True))
    assert 2 == wanted(intake)
    run_through(intake, clock, 1)
    assert 1 == wanted(intake)
    assert not intake.finished()
    run_through(intake, clock, 1)
    assert 0 == wanted(intake)
    assert intake.finished()
    assert told


def test_all_idle_takers_are_woken_once_settlements_are_confirmed(clock: FakeClock) -> None:
    """Takers that found too much unsettled all start something as soon as there is room again."""
    slots = 3
    intake = make_intake(clock, slots=slots)
    taken: SimpleQueue[HeldLease | None] = SimpleQueue()
    intake.adopt(held(clock, MOST_SETTLING))
    arrive(intake, "q", held(clock, slots))
    threads = [threading.Thread(target=lambda: taken.put(intake.take()), daemon=True) for _ in range(slots)]
    for thread in threads:
        thread.start()
    until(lambda: intake._books.idle_takers == slots)
    for _ in range(slots):
        intake.note_settled("q")
    assert slots == len({id(taken.get(timeout=60)) for _ in range(slots)})


def test_what_waits_in_vain_is_handed_back(clock: FakeClock) -> None:
    """If a queue starts nothing for ten seconds, what waits goes back: another worker may be free."""
    intake = make_intake(clock, slots=1)
    waiting = held(clock, 3)
    arrive(intake, "q", waiting)
    assert intake.take() is not None
    clock.advance(timedelta(seconds=10))
    assert [] == stale(intake)
    clock.advance(timedelta(seconds=1))
    assert waiting[1:] == stale(intake)
    assert [] == stale(intake)


def test_each_queue_goes_by_its_own_lease(clock: FakeClock) -> None:
    """What waits, or is set aside, goes back after a part of its own queue's lease, whatever the others' are."""
    leases = {"long": LEASE, "short": timedelta(seconds=8)}
    intake = make_intake(clock, dict.fromkeys(leases, 1), slots=2, leases=leases)
    first: dict[str, HeldLease] = {}
    for queue in leases:
        (first[queue],) = held(clock, 1, queue)
        arrive(intake, queue, [first[queue]])
        assert first[queue] is intake.take()
    waiting = {queue: held(clock, 1, queue) for queue in leases}
    for queue, ones in waiting.items():
        arrive(intake, queue, ones)
    clock.advance(timedelta(seconds=2.1))
    assert waiting["short"] == stale(intake)


def test_what_was_handed_over_often_is_kept(clock: FakeClock) -> None:
    """Handing back uses up deliveries, so it can't be what makes a message poison (semantics 8)."""
    intake = make_intake(clock, slots=1)
    arrive(intake, "q", held(clock, 1) + held(clock, 1, deliveries=5))
    assert intake.take() is not None
    clock.advance(timedelta(seconds=60))
    assert [] == stale(intake)


@given(
    weights=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1),
    rounds=st.integers(1, 5),
)
def test_smooth_round_robin_is_exact(weights: dict[str, int], rounds: int) -> None:
    """Over a whole number of rounds every queue starts exactly its weight a round."""
    clock = FakeClock()
    total = sum(weights.values()) * rounds
    intake = make_intake(clock, weights, slots=total, prefetch=total)
    for queue in weights:
        arrive(intake, queue, held(clock, total, queue))
    started = Counter(one.delivery.queue for one in (intake.take() for _ in range(total)) if one)
    assert {queue: weight * rounds for queue, weight in weights.items()} == dict(started)


def test_many_threads_start_each_delivery_once(clock: FakeClock) -> None:
    """Eight takers and a slow trickle of offers: all are started, none twice, never more than the slots at once."""
    intake = make_intake(clock, slots=3, prefetch=100)
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
        arrive(intake, "q", all_of_them[start : start + 5])
    until(lambda: intake.in_hand().total == 0)
    intake.close()
    for thread in threads:
        thread.join(60)
    assert 500 == len(seen)
    assert set(all_of_them) == set(seen)
    assert max(at_once) <= 3


def test_each_taker_wakes_the_next(clock: FakeClock) -> None:
    """Takers that are busy with what they took hold up none of the others, though an offer wakes one of them only."""
    intake = make_intake(clock)
    taken: SimpleQueue[HeldLease | None] = SimpleQueue()
    takers = [threading.Thread(target=lambda: taken.put(intake.take())) for _ in range(5)]
    for taker in takers:
        taker.start()
    clock.until_waiting(5)
    offered = held(clock, 5)
    arrive(intake, "q", offered)
    assert set(offered) == {taken.get(timeout=60) for _ in range(5)}
    for taker in takers:
        taker.join()


def test_the_others_wait_while_one_taker_leads(clock: FakeClock) -> None:
    """Of many that wait, one thread takes one after the other, and nobody is woken for them."""
    intake = make_intake(clock, slots=10)
    leader, other = object(), object()
    arrive(intake, "q", held(clock, 3))
    assert intake.take(leader) is not None
    assert intake.led
    assert intake.take(other, wait=False) is None
    assert not intake.short_of_takers()
    assert intake.take(leader) is not None
    assert intake.take(other, wait=False) is None


def test_who_takes_the_last_one_leads_no_more(clock: FakeClock) -> None:
    """What comes after it is anybody's."""
    intake = make_intake(clock, slots=10)
    leader, other = object(), object()
    arrive(intake, "q", held(clock, 2))
    assert [intake.take(leader) is not None for _ in range(2)] == [True, True]
    assert not intake.led
    arrive(intake, "q", held(clock, 1))
    assert intake.take(other, wait=False) is not None


def test_a_leader_hands_on_what_waits(clock: FakeClock) -> None:
    """At once: an idle taker is woken for it. One that doesn't lead hands on nothing."""
    intake = make_intake(clock, slots=10)
    leader, taken = object(), SimpleQueue[HeldLease | None]()
    thread = threading.Thread(target=lambda: taken.put(intake.take(object())))
    thread.start()
    until(lambda: intake._books.idle_takers)
    intake._books.leader = leader  # before the idle one sees what comes
    arrive(intake, "q", held(clock, 3))
    assert intake.take(leader) is not None
    intake.hand_on(object())
    assert intake.led
    assert not intake._books.taker_woken
    assert taken.empty()
    intake.hand_on(leader)
    assert taken.get(timeout=60) is not None
    thread.join(60)


def test_a_leader_that_takes_nothing_for_long_is_relieved(clock: FakeClock) -> None:
    """Once, counted from what it took last."""
    intake = make_intake(clock, slots=10)
    leader = object()
    span = timedelta(milliseconds=2)
    assert not intake.hand_on_after(span)
    arrive(intake, "q", held(clock, 4))
    for _ in range(2):
        assert intake.take(leader) is not None
        clock.advance(span / 2)
        assert not intake.hand_on_after(span)
    clock.advance(span / 2)
    assert intake.hand_on_after(span)
    assert (False, True) == (intake.led, intake.short_of_takers())
    assert not intake.hand_on_after(span)


def test_a_leader_that_can_start_nothing_leads_no_more(clock: FakeClock) -> None:
    """No slot is free: whoever is there when one gets free takes it."""
    intake = make_intake(clock, slots=1)
    leader = object()
    arrive(intake, "q", held(clock, 2))
    one = intake.take(leader)
    assert one is not None
    assert intake.led
    assert intake.take(leader, wait=False) is None
    assert not intake.led
    intake.end(one, succeeded=True)
    assert intake.take(object(), wait=False) is not None


def test_a_leader_picks_singly_by_weight(clock: FakeClock) -> None:
    """A series of one thread starts what threads of their own would have started, in that order."""
    intake = make_intake(clock, {"a": 3, "b": 1}, slots=100)
    leader = object()
    arrive(intake, "a", held(clock, 6, "a"))
    arrive(intake, "b", held(clock, 6, "b"))
    taken = [intake.take(leader) for _ in range(8)]
    assert Counter({"a": 6, "b": 2}) == Counter(one.delivery.queue for one in taken if one)


def test_a_leader_starts_no_more_than_max_tasks(clock: FakeClock) -> None:
    """However many wait."""
    intake = make_intake(clock, slots=10, max_tasks=2)
    leader = object()
    arrive(intake, "q", held(clock, 5))
    assert [True, True, False] == [intake.take(leader, wait=False) is not None for _ in range(3)]


def test_a_leader_gets_nothing_after_the_close(clock: FakeClock) -> None:
    """What it hasn't taken goes back."""
    intake = make_intake(clock, slots=10)
    leader = object()
    arrive(intake, "q", held(clock, 5))
    assert intake.take(leader) is not None
    assert 4 == len(intake.close())
    assert intake.take(leader) is None
    assert not intake.led
