"""Limits are entered together."""

from __future__ import annotations

from datetime import timedelta

from cloudq.flow.limit import enter
from tests.unit.worker.limits import Places

NOW = timedelta(0)


def test_all_or_none() -> None:
    """The one in the way is told, and what was taken before it is free again."""
    first, second, third = Places("a", 1), Places("b", 0), Places("c", 1)
    assert enter([first, second, third], NOW) is second
    assert (first.free, third.free) == (1, 1)
    second.free = 1
    assert enter([first, second, third], NOW) is None
    assert (first.free, second.free, third.free) == (0, 0, 0)
    assert enter([], NOW) is None
