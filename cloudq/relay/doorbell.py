"""`Doorbell`: wakes those who wait for work; a ring while they are busy isn't lost."""

from __future__ import annotations

import threading
from datetime import timedelta

from cloudq.core.clock import Clock


class Doorbell:
    """Counts its rings. Thread-safe.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """How often it was rung so far: to be read before the look for work that the wait comes after."""
        return self._rings

    def ring(self) -> None:
        """Wakes all who wait."""
        with self._changed:
            self._rings += 1
            self._changed.notify_all()

    def wait(self, heard: int, timeout: timedelta | None) -> bool:
        """Waits until it is rung, at most for `timeout`.

        Args:
            heard: The `rings` that the caller has seen: if there were more since, it doesn't wait.
            timeout: How long; `None`: without end.

        Returns:
            Whether it was rung.
        """
        until = None if timeout is None else self._clock.elapsed() + timeout
        with self._changed:
            while self._rings == heard:
                left = None if until is None else until - self._clock.elapsed()
                if left is not None and left <= timedelta(0):
                    return False
                self._clock.wait(self._changed, left)
            return True
