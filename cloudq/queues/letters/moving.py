"""`Move`: dead letters that the service itself moves back, whether this process lives or not."""

from __future__ import annotations

from cloudq.core.driver import DeadLetterMover
from cloudq.core.moving import MoveProgress


class Move:
    """The backend moves dead letters back by itself, whether this process lives or not. See `DeadLetters.move_all`."""

    def __init__(self, queue: str, mover: DeadLetterMover, name: str) -> None:
        self.queue = queue
        self._mover = mover
        self._name = name

    def __repr__(self) -> str:
        """The queue's name."""
        return f"Move({self.queue!r})"

    def progress(self) -> MoveProgress:
        """How far it is, asked anew. Once a second is enough."""
        return self._mover.move_progress(self.queue, self._name)

    def cancel(self) -> None:
        """Asks the backend to stop. What was moved stays moved; one that has ended is left as it is."""
        self._mover.cancel_move(self.queue, self._name)
