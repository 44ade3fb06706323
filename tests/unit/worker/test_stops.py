"""Why a queue isn't polled."""

from __future__ import annotations

from cloudq.testing.clock import FakeClock
from tests.unit.worker.intakes import make_intake, run_through, wanted


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
    run_through(intake, clock, 1)
    assert wanted(intake) > 0
