"""For tasks of a test that are to be stopped by a `FakeClock`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from cloudq.testing.clock import FakeClock


@contextmanager
def moved(clock: FakeClock, span: timedelta, after: threading.Event) -> Iterator[None]:
    """Moves the clock once `after` is set: not where the task runs, which a time limit may strike in the clock's locks.

    Then all who wait are woken, over and over: whoever looked at the clock before, and waits since after, looks again.
    """
    over = threading.Event()

    def move() -> None:
        after.wait(60)
        clock.advance(span)
        while not over.wait(0.02):
            clock.advance(timedelta(0))

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        over.set()
        after.set()
        thread.join()
