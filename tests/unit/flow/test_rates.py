"""Rates: how they are written, and what they mean."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cloudq import OptionError, Rate


@pytest.mark.parametrize(
    ("text", "count", "per"),
    [
        ("1/s", 1, timedelta(seconds=1)),
        ("100/m", 100, timedelta(minutes=1)),
        ("10/h", 10, timedelta(hours=1)),
        ("1000000/d", 1_000_000, timedelta(days=1)),
    ],
)
def test_a_number_and_a_period(text: str, count: int, per: timedelta) -> None:
    """Is all that is written."""
    rate = Rate(text)
    assert (rate.count, rate.per, rate.each) == (count, per, per / count)
    assert repr(rate) == f"Rate({text!r})"


@pytest.mark.parametrize(
    "text", ["", "50", "/s", "0/s", "-1/s", "1.5/s", "50/w", "50 / s", "1000001/d", "\u0665/s", None, 50]
)
def test_what_is_no_rate_is_refused(text: Any) -> None:
    """With how one is written."""
    with pytest.raises(OptionError, match=r'"50/s", "100/m"'):
        Rate(text)


def test_per_worker_is_true_or_false() -> None:
    """Nothing else."""
    with pytest.raises(OptionError, match="per_worker"):
        Rate("1/s", per_worker="yes")  # type: ignore[arg-type]


def test_how_many_in_a_span() -> None:
    """At least one, however short it is."""
    rate = Rate("100/m")
    assert (rate.in_time(timedelta(seconds=6)), rate.in_time(timedelta(milliseconds=1))) == (10, 1)
    assert rate.late == timedelta(seconds=6)


def test_it_is_shown_as_it_was_written() -> None:
    """In an error, and in a log line."""
    assert repr(Rate("5/s", key="{a}", per_worker=True)) == "Rate('5/s', key='{a}', per_worker=True)"
    assert str(Rate("5/m")) == "5 per 1 min"
