"""A length of time as a person reads it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))


def shown(span: timedelta) -> str:
    """`1 h 30 min`, `-5 s`, `0 s`: Python's own text of five seconds less than nothing is `-1 day, 23:59:55`."""
    left = abs(span)
    parts: list[str] = []
    for unit, seconds in _UNITS:
        count, left = divmod(left, timedelta(seconds=seconds))
        if count:
            parts.append(f"{count} {unit}")
    if left or not parts:
        parts.append(f"{left.total_seconds():g} s")
    return ("-" if span < timedelta(0) else "") + " ".join(parts)
