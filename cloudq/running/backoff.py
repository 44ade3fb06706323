"""`Backoff`: how long to wait before the next try, from tenacity's wait strategies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast


class Backoff:
    """Growing random waits for one thing that keeps failing. Not for use by several threads at once.

    Args:
        first: The longest first wait; each next one may be twice as long.
        longest: The longest wait.
    """

    def __init__(self, *, first: timedelta, longest: timedelta) -> None:
        self._first = first
        self._longest = longest
        self.tries = 0

    def next(self) -> timedelta:
        """How long to wait now. At least a tenth of `first`, so that it never spins."""
        from tenacity import RetryCallState, wait_random_exponential

        self.tries += 1
        first = self._first.total_seconds()
        # The strategy asks for nothing but the number of the attempt.
        state = RetryCallState(retry_object=cast("Any", None), fn=None, args=(), kwargs={})
        state.attempt_number = self.tries
        wait = wait_random_exponential(multiplier=first, max=self._longest.total_seconds(), min=first / 10)
        return timedelta(seconds=wait(state))

    def reset(self) -> None:
        """It worked: the next failure starts small again."""
        self.tries = 0
