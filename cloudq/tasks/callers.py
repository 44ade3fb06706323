"""Who called cloudq: where a warning points to."""

from __future__ import annotations

import sys


def callers_level() -> int:
    """The stack level, for a warning that the caller of this function gives, of the code that called cloudq."""
    level = 1
    while sys._getframe(level).f_globals.get("__name__", "").startswith("cloudq."):
        level += 1
    return level
