"""Values of JSON looked at as a whole: how deep they are nested, and what no JSON holds."""

from __future__ import annotations

import math
from collections.abc import Iterable


def too_deep(text: bytes, value: object, depth: int) -> bool:
    """Whether a value has more than `depth` objects and arrays within each other.

    Args:
        text: Its JSON.
        value: What was read from it, or written to it.
        depth: The most that are allowed.
    """
    if text.count(b"[") + text.count(b"{") <= depth:
        return False  # the usual case, without looking at the value
    level = [value]
    for _ in range(depth):
        level = [child for parent in level for child in _children(parent) if isinstance(child, (dict, list, tuple))]
        if not level:
            return False
    return True


def has_nan_or_infinity(value: object) -> bool:
    """Whether there is a number in it that JSON doesn't have."""
    if isinstance(value, float):
        return not math.isfinite(value)
    return any(map(has_nan_or_infinity, _children(value)))


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()
