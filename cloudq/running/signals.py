"""From signals to wishes: what is asked of the worker's main loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from queue import SimpleQueue
from types import FrameType


class Wish(Enum):
    """What is asked of the main loop."""

    STOP = "stop"
    """Stop, or the second time: stop now."""
    FAIL = "fail"
    """Stop, because the work can't be done."""
    LOOK = "look"
    """Something may be finished."""


@contextmanager
def stop_signals(wishes: SimpleQueue[Wish]) -> Iterator[None]:
    """Turns SIGTERM and SIGINT into wishes within the block, if in the main thread; puts back what was set before.

    A handler runs between any two steps of the main thread, which may hold any lock: `SimpleQueue.put` is the one way
    to tell somebody that is documented to be safe there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def wish(_number: int, _frame: FrameType | None) -> None:
        wishes.put(Wish.STOP)

    before = {number: signal.signal(number, wish) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            # `None` was set from outside of Python and can't be set again; the default is the nearest.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
