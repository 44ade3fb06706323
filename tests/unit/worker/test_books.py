"""What the books of an intake bound, and when they are closed."""

from __future__ import annotations

import pytest

from cloudq.testing.clock import FakeClock
from cloudq.worker.books import MOST_SETTLING
from tests.unit.worker.intakes import arrive, begin, held, make_intake, wanted, work_off


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_too_many_settlements_stop_everything(clock: FakeClock) -> None:
    """While so many ended tasks aren't confirmed nothing is started or received (semantics 14)."""
    intake = make_intake(clock, slots=1, prefetch=1000)
    arrive(intake, "q", held(clock, MOST_SETTLING + 1))
    for _ in range(MOST_SETTLING):
        one = intake.take()
        assert one is not None
        intake.end(one, succeeded=True)
    assert 0 == wanted(intake)
    assert not intake.short_of_takers()
    intake.note_settled("q")
    assert intake.short_of_takers()


def test_max_tasks_ends_though_too_much_was_received(clock: FakeClock) -> None:
    """With max_tasks what was received beyond them doesn't keep the worker: it is given back."""
    intake = make_intake(clock, {"a": 1, "b": 1}, max_tasks=1)
    arrive(intake, "a", held(clock, 1, "a"))
    arrive(intake, "b", held(clock, 1, "b"))
    one = intake.take()
    assert one is not None
    intake.end(one, succeeded=True)
    assert not intake.finished()
    intake.note_settled("a")
    assert intake.finished()
    assert 1 == len(intake.close())


def test_a_burst_ends_when_all_queues_were_found_empty(clock: FakeClock) -> None:
    """A burst is finished when every queue was polled in vain after the last delivery was settled."""
    intake = make_intake(clock, {"a": 1, "b": 1}, burst=True)
    intake.offer(begin(intake, "a"), [])
    assert not intake.finished()
    intake.offer(begin(intake, "b"), held(clock, 1, "b"))
    work_off(intake)
    assert not intake.finished()  # the task may have sent to a
    for queue in ("a", "b"):
        intake.offer(begin(intake, queue), [])
    assert intake.finished()
