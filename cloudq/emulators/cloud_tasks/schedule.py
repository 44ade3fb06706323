"""Things and the moments at which they are due. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Schedule(Generic[T]):
    """Each thing is due at one moment; of those due at the same, the one that was put first comes first."""

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, int, T]] = []
        self._entries: dict[T, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, item: T) -> bool:
        return item in self._entries

    def put(self, item: T, when: datetime) -> None:
        """Makes the item due at that moment, and no longer at another."""
        self._count += 1
        self._entries[item] = self._count
        heappush(self._heap, (when, self._count, item))
        if len(self._heap) > 2 * len(self._entries) + 64:
            # What was discarded long before its time would pile up.
            self._heap = [entry for entry in self._heap if self._entries.get(entry[2]) == entry[1]]
            heapify(self._heap)

    def discard(self, item: T) -> None:
        """Takes the item out; one that isn't in it is no error."""
        self._entries.pop(item, None)

    def clear(self) -> None:
        """Takes everything out."""
        self._heap.clear()
        self._entries.clear()

    def next_at(self) -> datetime | None:
        """When the first item is due, or `None` where there is none."""
        while self._heap:
            when, count, item = self._heap[0]
            if self._entries.get(item) == count:
                return when
            heappop(self._heap)
        return None

    def pop_due(self, now: datetime) -> T | None:
        """Takes out the first item that is due, or gives `None`."""
        when = self.next_at()
        if when is None or when > now:
            return None
        item = heappop(self._heap)[2]
        del self._entries[item]
        return item
