"""DynamoDB's time, as its answers are dated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from cloudq.core.clock import to_micros
from cloudq.stores.dynamodb.time import ServiceTime
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
    time.learn(answer(START + off))
    assert time.now() == to_micros(START + off)
    clock.advance(timedelta(seconds=1.5))
    assert time.now() == to_micros(START + off) + 3 * SECOND // 2


def test_within_the_same_second_the_finer_measure_stays() -> None:
    """A `Date` has whole seconds."""
    clock = FakeClock()
    time = ServiceTime(clock)
    clock.advance(timedelta(seconds=0.7))
    time.learn(answer(START))
    assert time.now() == to_micros(START) + 7 * SECOND // 10


@pytest.mark.parametrize(
    "told", [{}, {"ResponseMetadata": {"HTTPHeaders": {}}}, {"ResponseMetadata": {"HTTPHeaders": {"date": "soon"}}}]
)
def test_an_answer_without_a_date_changes_nothing(told: dict[str, Any]) -> None:
    """A proxy may take it out."""
    time = ServiceTime(FakeClock())
    time.learn(told)
    assert time.now() == to_micros(START)
