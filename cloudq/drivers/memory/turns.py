"""`Turns`: lines of what is ready, one for each fairness key, served in turn. Not thread-safe: the driver locks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Round robin over keys. What has no key has a line of its own, of all such together."""

    def __init__(self) -> None:
        # In the order of their turns; none of the lines is empty.
        self._lines: dict[str | None, deque[T]] = {}

    def __iter__(self) -> Iterator[T]:
        """What is in all lines."""
        return (one for line in self._lines.values() for one in line)

    def add(self, key: str | None, one: T) -> None:
        """Puts it at the end of its key's line; the turn of a key that had none comes last."""
        self._lines.setdefault(key, deque()).append(one)

    def next(self) -> T | None:
        """Takes off the first of the key whose turn it is, which then comes last; `None` if all lines are empty."""
        for key in self._lines:
            line = self._lines.pop(key)
            one = line.popleft()
            if line:
                self._lines[key] = line
            return one
        return None
