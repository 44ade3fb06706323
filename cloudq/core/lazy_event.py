"""`LazyEvent`: a `threading.Event` that costs next to nothing until somebody waits for it."""

from __future__ import annotations

import threading
from typing import Final

_WAITERS: Final = "_waiters"


class LazyEvent(threading.Event):
    """An event for each of many things, of which hardly any is ever waited for.

    The standard library's makes a lock and a condition at once, which is a twentieth of the CPU that a worker on SQLite
    needs for a short task. This one makes them at the first `wait`.
    """

    def __init__(self) -> None:  # not the base's, which is what this is about
        self._happened = False

    def __repr__(self) -> str:
        """Whether it is set."""
        return f"<LazyEvent: {'set' if self._happened else 'unset'}>"

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._happened

    def set(self) -> None:
        """Sets it, and wakes all that wait for it."""
        # Either this sees the waiter's condition, or the waiter sees that it is set:
        #
        #   set     happened = True ─▶ are there waiters?
        #   wait    waiters are made ─▶ happened?
        self._happened = True
        waiters = self.__dict__.get(_WAITERS)
        if waiters is not None:
            with waiters:
                waiters.notify_all()

    def clear(self) -> None:
        """Resets it."""
        self._happened = False

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is set, for at most `timeout` seconds (`None`: without end). Returns whether it was set."""
        if self._happened:
            return True
        # In a single step, so that all who wait wait for the same one.
        waiters: threading.Condition = self.__dict__.setdefault(_WAITERS, threading.Condition(threading.Lock()))
        with waiters:
            return self._happened or waiters.wait(timeout)
