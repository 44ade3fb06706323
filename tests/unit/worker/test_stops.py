"""Why a queue isn't polled."""

from __future__ import annotations

from cloudq.testing.clock import FakeClock
from tests.unit.worker.intakes import arrive, held, make_intake, run_through, wanted


def test_a_queue_without_its_store_is_not_polled_until_it_is_back() -> None:
    """Each change is news once."""
    intake = make_intake(FakeClock(), {"a": 1, "b": 1})
    assert intake.stops.note_store("a", down=True)
    assert not intake.stops.note_store("a", down=True)
    assert (wanted(intake, "a"), wanted(intake, "b")) == (0, 10)
    assert intake.stops.note_store_up()
    assert not intake.stops.note_store_up()
    assert wanted(intake, "a") == 10


def test_a_queue_whose_settlements_fail_is_polled_once_one_works() -> None:
    """Or there is none to try."""
    clock = FakeClock()
    intake = make_intake(clock)
    intake.stops.note_failing("q", True)
    assert wanted(intake) > 0
    assert [] == intake.stops.unsettled()
    run_through(intake, clock, 1)
    assert wanted(intake) > 0


def test_a_queue_is_unsettled_while_something_is_left_to_settle() -> None:
    """What was given up, as its lease was over, stops nothing: else a queue that is empty by then would stay so."""
    clock = FakeClock()
    intake = make_intake(clock)
    [one] = held(clock, 1)
    arrive(intake, "q", [one])
    assert intake.take() is one
    intake.end(one, succeeded=True)
    intake.stops.note_failing("q", True)
    assert (["q"], 0) == (intake.stops.unsettled(), wanted(intake))
    intake.note_settled("q")
    assert [] == intake.stops.unsettled()
    assert wanted(intake) > 0
