"""Lengths of time as people read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.spans import shown


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=-5), "-5 s"),
        (timedelta(seconds=1.5), "1.5 s"),
        (timedelta(minutes=90), "1 h 30 min"),
        (timedelta(days=2, seconds=1), "2 d 1 s"),
        (timedelta(hours=-25), "-1 d 1 h"),
        (timedelta(microseconds=1), "1e-06 s"),
        (timedelta(minutes=2), "2 min"),
    ],
)
def test_a_span_is_readable(span: timedelta, text: str) -> None:
    """Days, hours, minutes and seconds, those that are nothing left out, with one sign before all of them."""
    assert text == shown(span)
