"""`Lanes`: which record may start next. The one place that keeps the order of a FIFO group."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence


class Lanes:
    """Records by their place in the batch. Those of one group are a lane, in which one follows the other.

    After the first of a lane that failed, or wasn't started, none of that lane is given any more: to settle a later one
    would let it overtake. Not thread-safe: its batch guards it.

    Args:
        groups: The group of each record, or `None` for one that follows nobody.
    """

    def __init__(self, groups: Sequence[str | None]) -> None:
        by_group: dict[str, deque[int]] = {}
        self._lanes: list[deque[int]] = []
        self._ready: list[int] = []
        self._busy = 0
        for place, group in enumerate(groups):
            lane = deque[int]() if group is None else by_group.setdefault(group, deque())
            self._lanes.append(lane)
            if not lane:
                self._ready.append(place)  # in order, and so a heap
            lane.append(place)

    def take(self) -> int | None:
        """The first record that may start, or `None` if none may now."""
        if not self._ready:
            return None
        place = heapq.heappop(self._ready)
        self._lanes[place].popleft()
        self._busy += 1
        return place

    def finish(self, place: int) -> None:
        """Notes that a record which was taken is done: the next of its lane may start."""
        self._busy -= 1
        if self._lanes[place]:
            heapq.heappush(self._ready, self._lanes[place][0])

    def note_failure(self, place: int) -> int:
        """Notes that a record which was taken stays in its queue, and with it the rest of its lane: how many more."""
        self._busy -= 1
        rest = len(self._lanes[place])
        self._lanes[place].clear()
        return rest

    @property
    def left(self) -> int:
        """How many may start, now or later."""
        return sum(len(lane) for lane in {id(lane): lane for lane in self._lanes}.values())

    @property
    def finished(self) -> bool:
        """Whether none will be given any more."""
        return not self._ready and not self._busy

    def __len__(self) -> int:
        """How many may start at once."""
        return len(self._ready)
