"""What measurements come to: medians, ratios of the same turn, and how they are printed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of the same turn: what slows the machine for a while slows both.

    Raises:
        ValueError: There are more turns of one than of the other.
    """
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def shown(value: float) -> str:
    """A figure to three digits, or to the whole number."""
    return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
