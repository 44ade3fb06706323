"""`Turn`: who may use a link, in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta


class Turn:
    """A lock that goes to the thread that has waited longest, so that one that keeps taking it starves no other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._taken = False
        self._queue: deque[threading.Event] = deque()

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self._queue)

    @contextmanager
    def hold(self, patience: timedelta | None = None) -> Iterator[None]:
        """Takes it for the block.

        Args:
            patience: How long to wait for it; `None`: without end.

        Raises:
            TimeoutError: Others had it all that time.
        """
        self.take(patience)
        try:
            yield
        finally:
            self.give()

    def let_others(self) -> None:
        """Gives the lock to those who wait for it now, one after the other, then takes it again. For its holder."""
        if self.wanted:
            self.give()
            self.take()

    def take(self, patience: timedelta | None = None) -> None:
        """As `hold`, without giving it back."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            called = threading.Event()
            self._queue.append(called)
        try:
            if called.wait(None if patience is None else patience.total_seconds()):
                return
        except BaseException:
            if not self._withdraw(called):
                self.give()
            raise
        if self._withdraw(called):
            raise TimeoutError("others used the link all the time")

    def give(self) -> None:
        """Hands it to the next."""
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._taken = False

    def _withdraw(self, called: threading.Event) -> bool:
        """Whether it could be withdrawn: if not, the turn was handed over in the meantime."""
        with self._lock:
            if called.is_set():
                return False
            self._queue.remove(called)
            return True
