"""Marked points: places in a task's code where the tester has a run crash, or pauses it. Elsewhere they do nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol


class Crash(BaseException):
    """Ends a run as if its process had died. No Exception, so that a task's own `except Exception` lets it pass."""


class Watcher(Protocol):
    """The tester, as far as a point needs to know it."""

    all_lines: bool
    """Whether each line is a point, or only those within `crash_points`."""
    marked: int
    """How many blocks of `crash_points` are entered."""

    def reach(self, point: str) -> None:
        """The run is at that point; may block, and may raise `Crash`."""
        ...


watching: Final[ContextVar[Watcher | None]] = ContextVar("cloudq_redelivery", default=None)
"""Who watches the run that is under way here; `None` outside of the tester."""


def crash_point(name: str) -> None:
    """Marks a point where a run may crash, be paused, or be overtaken by another run of the same message.

    It does nothing unless `cloudq.testing.redelivery` runs the task.

    Args:
        name: What a report calls it: `"charged"`.
    """
    watcher = watching.get()
    if watcher is not None:
        watcher.reach(name)


@contextmanager
def crash_points(name: str = "the block") -> Iterator[None]:
    """Marks a block: before it, after it, and at each line in it a run may crash or be paused.

    That includes the lines of the functions that it calls, in the task's own file and in the `modules` of the `Check`.
    It does nothing unless `cloudq.testing.redelivery` runs the task.

    Args:
        name: What a report calls it.
    """
    watcher = watching.get()
    if watcher is None:
        yield
        return
    watcher.reach(f"before {name}")
    watcher.marked += 1
    try:
        yield
    finally:
        watcher.marked -= 1
    watcher.reach(f"after {name}")
