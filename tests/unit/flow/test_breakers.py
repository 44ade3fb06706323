"""Breakers: what fails again and again isn't started for a while."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from cloudq import Breaker, OptionError
from cloudq.flow.breakers import Circuit

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
NOW = timedelta(hours=1)


@pytest.fixture
def circuit() -> Circuit:
    """Opens after three failures, for a minute."""
    return Circuit("task t", Breaker(failures=3, pause=MINUTE), horizon=10 * SECOND)


def run(circuit: Circuit, now: timedelta, *, failed: bool | None) -> None:
    assert circuit.enter(now)
    circuit.leave(now, entered=now, failed=failed)


def opened(circuit: Circuit) -> None:
    for _ in range(3):
        run(circuit, NOW, failed=True)


def test_failures_in_a_row_open_it(circuit: Circuit, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing starts, and nothing is received, until the pause is over."""
    for failed in (True, True, False, True, True, None, True):
        assert circuit.room(NOW, 5) > 100
        run(circuit, NOW, failed=failed)
    assert not circuit.enter(NOW)
    assert circuit.room(NOW, 0) == 0
    assert circuit.next_at(NOW) == NOW + MINUTE
    assert circuit.wait(NOW, 3) == MINUTE
    assert circuit.wait(NOW + 55 * SECOND, 3) is None
    assert "task t has failed 3 times in a row" in caplog.text


def test_then_one_run_tries(circuit: Circuit) -> None:
    """All others wait for what becomes of it."""
    opened(circuit)
    later = NOW + MINUTE
    assert circuit.room(later, 0) == 1
    assert circuit.enter(later)
    assert not circuit.enter(later)
    assert circuit.room(later, 0) == 0


def test_a_run_that_succeeds_closes_it(circuit: Circuit, caplog: pytest.LogCaptureFixture) -> None:
    """And the failures are counted from none."""
    opened(circuit)
    with caplog.at_level(logging.INFO):
        run(circuit, NOW + MINUTE, failed=False)
    assert "closed again" in caplog.text
    run(circuit, NOW + MINUTE, failed=True)
    assert circuit.enter(NOW + MINUTE)


def test_a_run_that_fails_opens_it_again(circuit: Circuit) -> None:
    """For as long."""
    opened(circuit)
    run(circuit, NOW + MINUTE, failed=True)
    assert not circuit.enter(NOW + MINUTE)
    assert circuit.next_at(NOW + MINUTE) == NOW + 2 * MINUTE


@pytest.mark.parametrize("undone", [True, False])
def test_a_run_that_says_nothing_leaves_its_place_to_the_next(circuit: Circuit, undone: bool) -> None:
    """It was interrupted, snoozed, or not started."""
    opened(circuit)
    later = NOW + MINUTE
    assert circuit.enter(later)
    if undone:
        circuit.undo()
    else:
        circuit.leave(later, entered=later, failed=None)
    assert circuit.enter(later)


def test_what_ran_before_it_opened_doesn_t_prolong_the_pause(circuit: Circuit) -> None:
    """Ten that fail together open it once."""
    for _ in range(5):
        assert circuit.enter(NOW)
    for passed in range(5):
        circuit.leave(NOW + passed * SECOND, entered=NOW, failed=True)
    assert circuit.next_at(NOW) == NOW + 2 * SECOND + MINUTE


@pytest.mark.parametrize("failed", [True, None])
def test_what_ran_before_it_opened_is_not_the_one_that_tries(circuit: Circuit, failed: bool | None) -> None:
    """Its end, while that one runs, neither prolongs the pause nor lets another one try."""
    assert circuit.enter(NOW)
    opened(circuit)
    later = NOW + MINUTE
    assert circuit.enter(later)
    circuit.leave(later + SECOND, entered=NOW, failed=failed)
    assert not circuit.enter(later + SECOND)
    assert circuit.next_at(later + SECOND) is None
    circuit.leave(later + 2 * SECOND, entered=later, failed=True)
    assert circuit.next_at(later + 2 * SECOND) == later + 2 * SECOND + MINUTE


def test_what_ran_before_it_opened_closes_it_by_its_success(circuit: Circuit) -> None:
    """What is broken works again, whoever finds out."""
    assert circuit.enter(NOW)
    opened(circuit)
    circuit.leave(NOW + SECOND, entered=NOW, failed=False)
    assert circuit.enter(NOW + SECOND)


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"failures": True}, {"pause": 60}, {"pause": timedelta(days=2)}])
def test_what_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    """Saying which."""
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Breaker(**wrong)


def test_it_is_shown_as_it_was_written() -> None:
    """In an error."""
    assert repr(Breaker(failures=2, pause=MINUTE)) == f"Breaker(failures=2, pause={MINUTE!r})"
