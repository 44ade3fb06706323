"""Who called cloudq: where a warning points to."""

from __future__ import annotations

import sys


def callers_level() -> int:
    """The stack level, for a warning that is given by whoever calls this, of whoever called cloudq."""
    level = 1
    while sys._getframe(level).f_globals.get("__name__", "").startswith("cloudq."):
        level += 1
    return level
