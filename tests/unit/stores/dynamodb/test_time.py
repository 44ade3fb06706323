"""DynamoDB's time, as its answers are dated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from cloudq.core.clock import to_micros
from cloudq.stores.dynamodb.time import LONGEST_CALL, MARGIN, ServiceTime
from cloudq.testing.clock import START, FakeClock

SECOND = 1_000_000


def answer(at: datetime) -> dict[str, Any]:
    return {"ResponseMetadata": {"HTTPHeaders": {"date": format_datetime(at.astimezone(UTC), usegmt=True)}}}


def test_before_the_first_answer_it_is_this_machines() -> None:
    """Nothing else is known; from then on it is counted by the clock that can't be set."""
    clock = FakeClock()
    time = ServiceTime(clock)
    clock.step(timedelta(days=1))
    clock.advance(timedelta(seconds=3))
    assert time.now() == to_micros(START) + 3 * SECOND


@pytest.mark.parametrize("off", [timedelta(hours=3), timedelta(hours=-3)])
def test_a_clock_that_is_wrong_is_put_right_by_an_answer(off: timedelta) -> None:
    """Else its claims would end early, or never."""
    clock = FakeClock()
    time = ServiceTime(clock)
    time.learn(answer(START + off), clock.elapsed())
    assert time.now() == to_micros(START + off)
    clock.advance(timedelta(seconds=1.5))
    assert time.now() == to_micros(START + off) + 3 * SECOND // 2


def test_within_the_same_second_the_finer_measure_stays() -> None:
    """A `Date` has whole seconds."""
    clock = FakeClock()
    time = ServiceTime(clock)
    clock.advance(timedelta(seconds=0.7))
    time.learn(answer(START), clock.elapsed())
    assert time.now() == to_micros(START) + 7 * SECOND // 10


@pytest.mark.parametrize(
    "told", [{}, {"ResponseMetadata": {"HTTPHeaders": {}}}, {"ResponseMetadata": {"HTTPHeaders": {"date": "soon"}}}]
)
def test_an_answer_without_a_date_changes_nothing(told: dict[str, Any]) -> None:
    """A proxy may take it out."""
    time = ServiceTime(FakeClock())
    time.learn(told, timedelta(0))
    assert time.now() == to_micros(START)


def test_an_answer_that_was_slow_puts_nothing_back() -> None:
    """Its date was right when it was sent: what is counted since an earlier, quick one is nearer."""
    clock = FakeClock()
    time = ServiceTime(clock)
    time.learn(answer(START), clock.elapsed())
    began = clock.elapsed()
    clock.advance(timedelta(seconds=6))
    time.learn(answer(START), began)
    assert time.now() == to_micros(START) + 6 * SECOND
    time.learn(answer(START + timedelta(seconds=9)), began)
    assert time.now() == to_micros(START) + 9 * SECOND


def test_it_says_whether_the_service_told_it() -> None:
    """By which a store knows whether it may judge."""
    time = ServiceTime(FakeClock())
    time.learn({}, timedelta(0))
    assert not time.told
    time.learn(answer(START), time.elapsed())
    assert time.told


def test_no_call_takes_so_long_that_two_processes_disagree() -> None:
    """A second for the whole seconds of a date, and one by which the other process may be ahead."""
    assert MARGIN >= LONGEST_CALL + timedelta(seconds=2)
