"""Names that stay taken for a while after their owner has gone. Pure."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Final

# Of those whose names were the emulator's own. Nobody can use them again; they only make for a better error.
MOST_RANDOM: Final = 10_000


class Tombstones:
    """For how long which names are taken.

    Args:
        lasting: For how long a name is.
    """

    def __init__(self, lasting: timedelta) -> None:
        self._lasting = lasting
        self._ends: dict[str, datetime] = {}
        self._order: deque[tuple[datetime, str]] = deque()
        self._random: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, name: str, now: datetime, *, random: bool = False) -> None:
        """The owner of the name has gone.

        Args:
            name: The name.
            now: The present moment.
            random: Whether the emulator chose it: the oldest of these are forgotten before their time.
        """
        self._forget(now)
        end = now + self._lasting
        self._ends[name] = end
        if not random:
            self._order.append((end, name))
            return
        self._random.append(name)
        if len(self._random) > MOST_RANDOM:
            self._ends.pop(self._random.popleft(), None)

    def has(self, name: str, now: datetime) -> bool:
        """Whether the name is taken."""
        end = self._ends.get(name)
        return end is not None and end > now

    def _forget(self, now: datetime) -> None:
        while self._order and self._order[0][0] <= now:
            end, name = self._order.popleft()
            if self._ends.get(name) == end:
                del self._ends[name]
