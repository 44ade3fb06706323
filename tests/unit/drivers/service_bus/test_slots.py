"""What a slot may do when is a table; whoever works on its message hears at once that the session is gone."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cloudq.drivers.service_bus.dispositions import RELEASE
from cloudq.drivers.service_bus.faults import session_lost
from cloudq.drivers.service_bus.links import Taken
from cloudq.drivers.service_bus.locks import LockSpan
from cloudq.drivers.service_bus.slots import NEXT, Event, Slot, State
from cloudq.testing.clock import FakeClock

MINUTE = timedelta(minutes=1)


def test_every_state_is_reached_and_left() -> None:
    """From the first one; only the last has no way out."""
    ways: dict[State, set[State]] = defaultdict(set)
    for (state, _), after in NEXT.items():
        ways[state].add(after)
    reached, new = set(), {State.SEEKING}
    while new:
        reached |= new
        new = {after for state in reached for after in ways[state]} - reached
    assert set(State) == reached
    assert {State.ENDED} == {state for state in State if not ways[state]}


def test_a_session_is_always_left_before_another_is_sought() -> None:
    """However it ends: no way from a session leads back or to the end but over LEAVING."""
    holding = {State.READING, State.OFFERING, State.IN_WORK}
    for (state, _), after in NEXT.items():
        if state in holding:
            assert after in {*holding, State.LEAVING}
    assert {state for (state, event) in NEXT if event is Event.LOST} == {State.READING, State.IN_WORK}


class Link:
    """A session's link that answers as it is told to."""

    def __init__(self) -> None:
        self.answer: BaseException | None = None
        self.closed = False
        self.is_there = True

    def settle(self, steps: Any) -> list[BaseException | None]:
        return [self.answer] * len(steps)

    def look(self) -> bool:
        return self.is_there

    def close(self) -> None:
        self.closed = True


class Office:
    """Wants nothing more."""

    closed = False
    stepped_back = 0

    def step_back(self) -> None:
        self.stepped_back += 1

    def may_seek(self) -> bool:
        return False

    def is_wanted(self) -> bool:
        return False


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def slot(clock: FakeClock) -> Slot:
    """One with a session and a message of it in work."""
    office: Any = Office()
    made = Slot(office, clock=clock, span=LockSpan(clock), patience=timedelta(seconds=5))
    private: Any = made
    private._receiver = receiver = object()
    private._link = Link()
    private._ends = clock.elapsed() + MINUTE
    private._message = Taken(message(receiver), clock.elapsed() + MINUTE)
    return made


def message(receiver: object) -> Any:
    return SimpleNamespace(_receiver=receiver)


def test_a_cut_is_told_to_whoever_works_on_the_message(slot: Slot) -> None:
    """The session is anybody's then: its first run hears of it before the next look of a keeper."""
    private: Any = slot
    told: list[str] = []
    slot.watch(private._message.message, told.append)
    private._link.is_there = False
    assert Event.LOST is slot._wait_for_work()
    assert [] == told
    assert Event.NOT_WANTED is slot._leave()
    assert ["its session's link was cut or closed"] == told


def test_a_lock_that_is_over_is_told(slot: Slot, clock: FakeClock) -> None:
    """The service has given the session to somebody else by then."""
    private: Any = slot
    told: list[str] = []
    slot.watch(private._message.message, told.append)
    clock.suspend(MINUTE)
    assert Event.LOST is slot._wait_for_work()
    slot._leave()
    assert 1 == len(told)


def test_what_was_settled_is_not_told_of(slot: Slot) -> None:
    """A session that is left after its message was settled has ended nobody's lock."""
    private: Any = slot
    told: list[str] = []
    taken = private._message.message
    slot.watch(taken, told.append)
    slot.settle([(taken, object())])  # type: ignore[list-item]  # the link doesn't look at it
    assert Event.SETTLED is slot._wait_for_work()
    slot._leave()
    assert [] == told


def test_what_goes_back_unstarted_takes_its_session_with_it(slot: Slot) -> None:
    """Another process gets the message only by its session, and this one may never start it."""
    private: Any = slot
    told: list[str] = []
    taken = private._message.message
    slot.watch(taken, told.append)
    slot.settle([(taken, RELEASE)])
    assert Event.GIVEN_BACK is slot._wait_for_work()
    assert 1 == private._office.stepped_back
    assert State.LEAVING is NEXT[State.IN_WORK, Event.GIVEN_BACK]
    slot._leave()
    assert [] == told


def test_what_could_not_be_settled_is_told_of(slot: Slot) -> None:
    """A settlement that failed has ended no lock, and the cut that comes after it has."""
    private: Any = slot
    told: list[str] = []
    taken = private._message.message
    slot.watch(taken, told.append)
    private._link.answer = session_lost()
    slot.settle([(taken, object())])  # type: ignore[list-item]  # as above
    slot._leave()
    assert 1 == len(told)


def test_what_was_lost_before_anybody_watched(slot: Slot) -> None:
    """A cut between the receive and the watching is told at once; one who watches no more isn't called."""
    told: list[str] = []
    gone = message(object())
    slot.watch(gone, told.append)
    assert 1 == len(told)
    slot.watch(gone, None)
    assert 1 == len(told)


def test_one_who_raises_keeps_the_news_from_nobody(slot: Slot, caplog: pytest.LogCaptureFixture) -> None:
    """The session's link is closed in any case."""
    private: Any = slot
    told: list[str] = []
    taken, link = private._message.message, private._link

    def broken(why: str) -> None:
        raise RuntimeError(why)

    slot.watch(taken, broken)
    slot.watch(taken, told.append)
    slot._leave()
    assert (1, True) == (len(told), link.closed)
    assert "could not be reported" in caplog.text
