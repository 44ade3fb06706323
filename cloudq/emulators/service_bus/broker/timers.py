"""What is to be done at a time: one heap for all queues, from which timers can be taken back."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Final

# Below this number, timers that were taken back aren't worth a new heap.
_WORTH_IT: Final = 1000


class Timer:
    """One thing to do; `Timers.cancel` takes it back."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action


class Timers:
    """Actions by the time they are due; those of the same time in the order in which they were asked for."""

    __slots__ = ("_cancelled", "_heap", "_numbers", "on_change")

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._heap: list[tuple[datetime, int, Timer]] = []
        self._numbers = count()
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def at(self, when: datetime, action: Callable[[], None]) -> Timer:
        """Has `action` done at `when`; calls `on_change` if that is the next thing to do."""
        timer = Timer(action)
        heapq.heappush(self._heap, (when, next(self._numbers), timer))
        if self._heap[0][2] is timer:
            self.on_change()
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Takes a timer back; one that has run, was taken back before or is `None` is no error."""
        if timer is None or timer.action is None:
            return
        timer.action = None
        self._cancelled += 1
        # A message that lives for 14 days and is gone in a second would leave its timer here for 14 days.
        if self._cancelled > _WORTH_IT and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_due(self) -> datetime | None:
        """When the next action is due, or `None` if there is none."""
        while self._heap and self._heap[0][2].action is None:
            heapq.heappop(self._heap)
            self._cancelled -= 1
        return self._heap[0][0] if self._heap else None

    def run_due(self, now: datetime) -> None:
        """Does what is due, also what that makes due."""
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            action, timer.action = timer.action, None
            if action is None:
                self._cancelled -= 1
            else:
                action()
