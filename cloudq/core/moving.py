"""How far a backend is that moves all dead letters by itself, as values. `DeadLetterMover` in `core.driver` asks."""

from __future__ import annotations

from enum import Enum

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
