"""`Mutex` and `certainly`: locks that no exception leaves taken, wherever it strikes.

A signal handler (Ctrl-C, another library's time limit) may raise between any two steps of the main thread: just behind
the step that took a lock, or among the steps that free it. A `with` block has such gaps at its ends, and a generator
as context manager is kept, suspended and with what it holds, by the traceback of the very exception. So here

- whether something is held is asked of the thing itself, never of a variable that is set one step later;
- the clean-up does nothing the second time, and stands in three blocks, one around the other. An exception during the
  first is followed by the second, and one more during that by the third.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def certainly(work: Callable[[], T], clean_up: Callable[[], object]) -> T:
    """Runs `work`, and then `clean_up` to its end, whatever exceptions strike in between: up to two.

    Args:
        work: What may take things that have to be given back.
        clean_up: Gives back what is held. Where something is raised it is called three times, so it looks at what there
            is to do; what it raises by itself is raised after the third.
    """
    try:
        try:
            try:
                return work()
            finally:
                clean_up()
        except BaseException:
            clean_up()
            raise
    except BaseException:
        clean_up()
        raise


class Mutex:
    """A lock that knows whether the thread that asks holds it.

    So a thread finds out that it would wait for itself, as a signal handler would that runs while its thread holds the
    lock; and `free` can be called at any time.

    Attributes:
        lock: What is taken.
        mine: Says whether this thread holds it.
    """

    __slots__ = ("lock", "mine")

    def __init__(self) -> None:
        # Not for being taken twice, but because its owner is noted in the same step in which it is taken.
        self.lock = threading.RLock()
        # Not a method of ours, as each transaction asks thrice. `threading.Condition` asks a lock for this, too, though
        # its name has an underscore.
        self.mine: Callable[[], bool] = self.lock._is_owned  # type: ignore[attr-defined]

    def acquire(self, timeout: float = -1) -> bool:
        """Takes it within that many seconds (-1: without end). A thread that holds it must not call this."""
        return self.lock.acquire(True, timeout)

    def free(self) -> None:
        """Frees it, if this thread holds it."""
        if self.mine():
            self.lock.release()
