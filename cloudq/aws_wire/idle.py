"""`Idle`: the idle connections of a pool, in a form that costs less than a queue whose readers could wait."""

from __future__ import annotations

from queue import Empty, Full
from typing import Generic, TypeVar

T = TypeVar("T")


class Idle(Generic[T]):
    """What urllib3's pools take for their queue: the last one put is the first one got, and nobody waits.

    A pool that is empty opens a connection, one that is full closes one. `queue.LifoQueue`, whose place this takes,
    has a lock and three conditions for that; here a list's own steps, which threads don't divide, are enough.

    Args:
        most: How many it keeps. Threads that put one at the same time may each add one beyond.
    """

    def __init__(self, most: int) -> None:
        self._kept: list[T] = []
        self._most = most

    def get(self, block: bool = False, timeout: float | None = None) -> T:  # noqa: ARG002 - as a queue takes them
        """The last one put.

        Raises:
            Empty: There is none.
        """
        try:
            return self._kept.pop()
        except IndexError:
            raise Empty from None

    def put(self, item: T, block: bool = False, timeout: float | None = None) -> None:  # noqa: ARG002 - as there
        """Keeps one more.

        Raises:
            Full: It keeps as many as it may.
        """
        if len(self._kept) >= self._most:
            raise Full
        self._kept.append(item)

    def qsize(self) -> int:
        """How many it keeps."""
        return len(self._kept)
