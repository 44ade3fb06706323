"""Starvation: slots are free, something waits, and nothing starts for long."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.testing.clock import FakeClock
from cloudq.worker.starvation import STARVED_AFTER, STARVED_OF_CHILDREN_AFTER, Starvation
from tests.unit.worker.intakes import arrive, held, make_intake


class Starved:
    """An executor that can start something, or can't."""

    def __init__(self) -> None:
        self.starved = False

    def start(self) -> None: ...

    def more(self) -> None: ...

    def stop(self) -> None: ...


@pytest.mark.parametrize(("children", "limit"), [(False, STARVED_AFTER), (True, STARVED_OF_CHILDREN_AFTER)])
def test_what_waits_for_long_is_starved(children: bool, limit: timedelta) -> None:
    """For a child process longer, as that takes longer to start; a start ends it."""
    clock = FakeClock()
    intake = make_intake(clock)
    starvation = Starvation(intake, Starved(), children=children, clock=clock)
    arrive(intake, "q", held(clock, 2))
    starvation.look()
    clock.advance(limit - timedelta(seconds=1))
    starvation.look()
    assert not starvation.starved()
    clock.advance(timedelta(seconds=1))
    assert starvation.starved()
    intake.take(wait=False)
    starvation.look()
    assert not starvation.starved()


def test_an_executor_that_can_start_nothing_is_starved_at_once() -> None:
    """It knows."""
    clock, executor = FakeClock(), Starved()
    starvation = Starvation(make_intake(clock), executor, children=False, clock=clock)
    assert not starvation.starved()
    executor.starved = True
    assert starvation.starved()
