"""Shrinking: what is left can't be left out."""

from __future__ import annotations

from cloudq.testing.redelivery.schedule import GoOn, Take
from cloudq.testing.redelivery.shrinking import shrunk

LARGE = (
    Take(message=0, pause_at=3),
    Take(message=1, crash_at=9, stale=True),
    Take(message=2),
    GoOn(message=0),
    Take(message=1),
)


def never():
    return False


def test_only_what_matters_is_left():
    """Everything else is left out, and the point is the first one that does it."""

    def fails(schedule):
        return any(isinstance(s, Take) and s.message == 1 and (s.crash_at or 0) >= 4 for s in schedule)

    assert (Take(message=1, crash_at=4),) == shrunk(LARGE, fails, is_late=never)


def test_a_pause_becomes_a_crash_if_that_is_enough():
    """It takes one run less to explain."""

    def fails(schedule):
        return any(isinstance(s, Take) and 2 in {s.pause_at, s.crash_at} for s in schedule)

    schedule = (Take(message=0, pause_at=2), Take(message=0), GoOn(message=0))
    assert (Take(message=0, crash_at=2),) == shrunk(schedule, fails, is_late=never)


def test_a_pause_that_does_nothing_is_taken_out_where_the_run_would_go_on():
    """The order in which effects happen stays."""

    def fails(schedule):
        numbers = [s.message for s in schedule if isinstance(s, Take)]
        return numbers == [1, 0]

    schedule = (Take(message=0, pause_at=2), Take(message=1), GoOn(message=0))
    assert (Take(message=1), Take(message=0)) == shrunk(schedule, fails, is_late=never)


def test_it_is_bounded_in_time():
    """When it is late, what there is has to do."""
    tries = []

    def fails(schedule):
        tries.append(schedule)
        return False

    assert LARGE == shrunk(LARGE, fails, is_late=lambda: len(tries) >= 2)
    assert 2 == len(tries)
