"""From signals to wishes: what is asked of the worker's main loop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from queue import SimpleQueue
from types import FrameType
from typing import Any

from cloudq.core.safe_log import SafeLogger

logger = SafeLogger("cloudq")


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
    """Turns SIGTERM and SIGINT into wishes within the block, and puts back what was set before.

    Only the main thread can; elsewhere the block runs without, and a line in the log says so. Python decides which one
    it is: `threading.main_thread()` is another object than the current thread's in a program that eventlet has patched.

    A handler runs between any two steps of the main thread, which may hold any lock: `SimpleQueue.put` is the one way
    to tell somebody that is documented to be safe there.
    """

    def wish(_number: int, _frame: FrameType | None) -> None:
        wishes.put(Wish.STOP)

    before: dict[int, Any] = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, wish)
    except ValueError:
        logger.warning("SIGTERM and SIGINT don't stop this worker: it doesn't run in the main thread")
    try:
        yield
    finally:
        for changed, handler in before.items():
            # `None` was set from outside of Python and can't be set again; the default is the nearest.
            signal.signal(changed, signal.SIG_DFL if handler is None else handler)
