"""Durations as ISO 8601 writes them: `PT30S`, `P1DT2H`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

# What .NET writes for a time span without end, and so for a time to live that never ends.
FOREVER: Final = "P10675199DT2H48M5.4775807S"
_FOREVER_DAYS: Final = 10_675_199
_MOST_DIGITS: Final = 12

_DURATION: Final = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


def parse_duration(text: str) -> timedelta:
    """Reads a duration of days, hours, minutes and seconds; one of .NET's longest or more is `timedelta.max`.

    Raises:
        ValueError: It is no such duration.
    """
    match = _DURATION.fullmatch(text.strip())
    parts = {unit: number for unit, number in match.groupdict().items() if number} if match is not None else {}
    if not parts or max(len(number.partition(".")[0]) for number in parts.values()) > _MOST_DIGITS:
        raise ValueError(f"{text!r} is no ISO 8601 duration of days, hours, minutes and seconds, like PT1M or P1DT12H")
    if int(parts.get("days", "0")) >= _FOREVER_DAYS:
        return timedelta.max
    return timedelta(**{unit: float(number) for unit, number in parts.items()})


def format_duration(value: timedelta) -> str:
    """Writes a duration, the largest as .NET does."""
    if value.days >= _FOREVER_DAYS:
        return FOREVER
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{seconds + value.microseconds / 1_000_000:f}".rstrip("0").rstrip(".")
    times = [f"{hours}H" * (hours > 0), f"{minutes}M" * (minutes > 0), f"{text}S" * (text != "0")]
    days = f"{value.days}D" * (value.days > 0)
    clock = "".join(times)
    return f"P{days}T{clock}" if clock else f"P{days}" if days else "PT0S"
