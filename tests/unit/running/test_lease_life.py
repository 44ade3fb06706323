"""A lease's life: each event in each state is in the table or can't happen, and the table keeps its three rules."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudq.running.lease_life import EXTENDABLE, RUNNING, SHORTEST_PAUSE, TRANSITIONS, Event, LeaseLife, State

SECOND = timedelta(seconds=1)
HELD, EXTENDING, SETTLING, SETTLING_EXTENDING, RELEASE_WAITS, RELEASING, LOST, LATE, ENDED = State

# Each row is a state; each column an event, in the order of `Event`; `-` can't happen.
TABLE = """
                    sent  extended  failed  lost  cutoff  settle  release  confirmed  sfailed  slost  ranout  givenup
HELD                E     -         -       -     L       S       R        -          -        -      L       X
EXTENDING           -     H         H       L     L       SE      W        -          -        -      L       X
SETTLING            SE    -         -       -     S       -       -        X          S        X      T       X
SETTLING_EXTENDING  -     S         S       S     SE      -       -        X          SE       X      T       X
RELEASE_WAITS       -     R         R       L     L       -       -        -          -        -      L       X
RELEASING           -     -         -       -     R       -       -        X          R        X      T       X
LOST                -     L         L       L     L       T       X        -          -        -      -       X
LATE                -     T         T       T     T       -       -        X          X        X      -       X
ENDED               -     X         X       X     X       -       -        -          -        -      -       -
"""
LETTERS = dict(zip(["H", "E", "S", "SE", "W", "R", "L", "T", "X"], State, strict=True))


def expected() -> dict[tuple[State, Event], State | None]:
    rows = [line.split() for line in TABLE.strip().splitlines()[1:]]
    return {
        (State[name], event): LETTERS.get(cell)
        for name, *cells in rows
        for event, cell in zip(Event, cells, strict=True)
    }


def life(state: State, **moments: timedelta) -> LeaseLife:
    made = LeaseLife(moments.pop("ends", 10 * SECOND), **moments)
    made.state = state
    return made


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)), ids=lambda one: one.name.lower())
def test_each_event_in_each_state(state: State, event: Event) -> None:
    """What follows is what the table of this test says; what it has no cell for raises and changes nothing."""
    one, after = life(state), expected()[state, event]
    if after is None:
        with pytest.raises(RuntimeError, match="can't be told"):
            one.apply(event)
        assert state is one.state
    else:
        assert (after, after) == (one.apply(event), one.state)


def test_beside_a_release_nothing_is_extended() -> None:
    """No state that a wanted release can lead to lets an extension be sent (rule 2)."""
    reachable = {after[Event.RELEASE] for after in TRANSITIONS.values() if Event.RELEASE in after}
    while (more := reachable | {after for state in reachable for after in TRANSITIONS[state].values()}) != reachable:
        reachable = more
    # A lease that was lost before its release was sent is still not extended.
    assert {RELEASE_WAITS, RELEASING, LOST, LATE, ENDED} == reachable
    assert not reachable & EXTENDABLE
    assert all(Event.EXTENSION_SENT not in TRANSITIONS[state] for state in reachable)


def test_beside_an_ack_the_lease_is_extended_for_real() -> None:
    """While an Ack or a dead-letter is on its way an extension can be sent (rule 2)."""
    assert SETTLING in EXTENDABLE
    assert SETTLING_EXTENDING is TRANSITIONS[SETTLING][Event.EXTENSION_SENT]


@pytest.mark.parametrize("state", [SETTLING, SETTLING_EXTENDING, RELEASING])
def test_a_settlement_on_its_way_never_reads_as_lost(state: State) -> None:
    """Neither an extension's answer nor a cut connection ends a lease that is being settled (rule 3)."""
    answers = {Event.EXTENDED, Event.EXTENSION_FAILED, Event.EXTENSION_LOST, Event.CUT_OFF}
    assert all(after in RUNNING for event, after in TRANSITIONS[state].items() if event in answers)


def test_one_extension_is_in_flight_at_a_time() -> None:
    """An extension is sent only where none is in flight, and lands only where one is or was."""
    in_flight = {EXTENDING, SETTLING_EXTENDING, RELEASE_WAITS}
    assert EXTENDABLE.isdisjoint(in_flight)
    for event in (Event.EXTENDED, Event.EXTENSION_FAILED, Event.EXTENSION_LOST):
        assert in_flight | {LOST, LATE, ENDED} == {state for state in State if event in TRANSITIONS[state]}


@given(st.lists(st.sampled_from(Event)))
def test_a_lease_that_is_over_stays_over(events: list[Event]) -> None:
    """Whatever happens in whatever order: no lease comes back to life."""
    one, over = life(HELD), False
    for event in events:
        if event in TRANSITIONS[one.state]:
            one.apply(event)
        over = over or not one.running
        assert over is not one.running


def test_it_is_due_half_way_to_its_end() -> None:
    """An extension is planned for half of what is left, and due from then on; its end comes next after that."""
    one = life(HELD)
    one.plan_extension(2 * SECOND)
    assert (6 * SECOND, 6 * SECOND) == (one.extend_at, one.next_look)
    assert [False, True] == [one.due(6 * SECOND - SHORTEST_PAUSE), one.due(6 * SECOND)]


@pytest.mark.parametrize("state", [state for state in State if state not in EXTENDABLE])
def test_nothing_is_due_where_nothing_may_be_sent(state: State) -> None:
    """In flight, releasing or over: however late it gets, only the end is looked for."""
    one = life(state, extend_at=SECOND)
    assert not one.due(100 * SECOND)
    assert 10 * SECOND == one.next_look


def test_nothing_is_planned_at_the_hard_end() -> None:
    """Once the lease lasts until its hard end, no extension would be granted."""
    one = life(HELD, hard_end=10 * SECOND)
    one.plan_extension(2 * SECOND)
    assert one.extend_at is None
    assert 10 * SECOND == one.next_look


def test_extensions_are_never_planned_hot() -> None:
    """However little is granted, there is a pause."""
    one = life(HELD, ends=SECOND)
    one.plan_extension(SECOND)
    assert SECOND + SHORTEST_PAUSE == one.extend_at


def test_it_is_over_from_its_end_on() -> None:
    """At its end the lease is over, noticed or not."""
    one = life(HELD)
    assert [False, True] == [one.over(10 * SECOND - timedelta(microseconds=1)), one.over(10 * SECOND)]
