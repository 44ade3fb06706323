"""ISO 8601 durations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.emulators.service_bus.durations import FOREVER, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("PT1M", timedelta(minutes=1)),
        ("PT0S", timedelta(0)),
        ("P1D", timedelta(days=1)),
        ("P1DT2H3M4.5S", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("PT30S", timedelta(seconds=30)),
        ("PT0.000001S", timedelta(microseconds=1)),
        (FOREVER, timedelta.max),
    ],
)
def test_both_ways(text: str, value: timedelta) -> None:
    """What is read is written the same."""
    assert value == parse_duration(text)
    assert text == format_duration(value)


@pytest.mark.parametrize(("text", "value"), [("PT90S", timedelta(seconds=90)), ("P1DT0S", timedelta(days=1))])
def test_read_only(text: str, value: timedelta) -> None:
    """Other ways of writing the same are read."""
    assert value == parse_duration(text)


@pytest.mark.parametrize("text", ["", "P", "PT", "1M", "P1M", "PT-1S", "pt1m", "PT" + "9" * 400 + "S"])
def test_what_is_no_duration(text: str) -> None:
    """The error quotes it."""
    with pytest.raises(ValueError, match="no ISO 8601 duration"):
        parse_duration(text)
