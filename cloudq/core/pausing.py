"""`Pauser`: an optional part of the driver contract, for backends that can pause a queue."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Pauser(Protocol):
    """An optional part of a driver: it pauses queues, for all workers of all programs, until somebody resumes them.

    A paused queue must take messages as usual. A receive from it must raise `QueuePaused`, within seconds of the pause
    where one is under way; a backend that pushes must push nothing. What was handed over before is extended and settled
    as usual, or, where the backend cuts its receivers off, comes again once the queue is resumed.
    """

    def pause(self, queue: str) -> bool:
        """Pauses `queue`. Returns whether it wasn't paused before."""
        ...

    def resume(self, queue: str) -> bool:
        """Resumes `queue`. Returns whether it was paused. It is never called for a dead-letter queue."""
        ...

    def is_paused(self, queue: str) -> bool:
        """Whether `queue` is paused."""
        ...
