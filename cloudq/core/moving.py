"""Moving all dead letters by the backend itself: what a driver may offer for it. Part of the driver contract."""

from __future__ import annotations

from enum import Enum
from typing import Protocol, runtime_checkable

import msgspec


class MoveState(Enum):
    """How far the backend is."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    """To be cancelled; it may still move some."""
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing is moved any more."""
        return self not in {MoveState.RUNNING, MoveState.CANCELLING}


class MoveProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What the backend says of a move.

    Attributes:
        state: How far it is.
        moved: About how many messages it has moved, or `None` where it hasn't said yet.
        total: How many there were to move when it began, or `None` where it hasn't said (yet). It may move more.
        reason: Why it failed, in the backend's words, where it did and says so.
    """

    state: MoveState
    moved: int | None = None
    total: int | None = None
    reason: str | None = None


@runtime_checkable
class DeadLetterMover(Protocol):
    """What a driver may do besides: have the backend move a queue's dead letters back, unchanged and by itself.

    Never asked for an ordered queue: its service remembers native ids, and a message that keeps its own could be
    swallowed (semantics 1).
    """

    def start_move(self, queue: str) -> str:
        """Starts to move all dead letters of `queue` back into it, and returns at once. What it returns names the move.

        The destination is named to the backend, so that those that workers dead-lettered by a copy move too
        (semantics 7). The move goes on when this process ends.

        Raises:
            ConfigurationError: The backend moves nothing from a queue that is set up like this.
            BackendError: Nothing was started; another move is under way, say.
        """
        ...

    def move_progress(self, queue: str, move: str) -> MoveProgress:
        """How far the move of that name is. One that the backend doesn't show yet is running."""
        ...

    def cancel_move(self, queue: str, move: str) -> None:
        """Asks the backend to stop. What was moved stays moved. One that has ended is left as it is."""
        ...
