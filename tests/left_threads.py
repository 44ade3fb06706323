"""What a test leaves idling on its clock ends with the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from cloudq.testing.clock import FakeClock

LONG = timedelta(hours=1)


@contextmanager
def idle_threads_end() -> Iterator[None]:
    """At the block's end, time passes on each clock that was made in it and is still waited for.

    The threads of a worker idle for some seconds before they end. On a clock that nobody moves they would end by its
    patience, half a minute later, with an error in the log of whichever test runs then.
    """
    made: list[FakeClock] = []
    make = FakeClock.__init__

    def noted(self: FakeClock, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        made.append(self)

    FakeClock.__init__ = noted  # type: ignore[method-assign]  # put back below
    try:
        yield
    finally:
        FakeClock.__init__ = make  # type: ignore[method-assign]  # as it was
        for clock in made:
            if clock.waiting:
                clock.advance(LONG)
