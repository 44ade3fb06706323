"""A move that the service makes: watched and cancelled by its name."""

from __future__ import annotations

from cloudq.core.moving import MoveProgress, MoveState
from cloudq.queues.letters.moving import Move


class Mover:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    def start_move(self, queue: str) -> str:
        raise AssertionError("a move is started by who makes it")

    def move_progress(self, queue: str, move: str) -> MoveProgress:
        self.calls.append(("progress", queue, move))
        return MoveProgress(state=MoveState.RUNNING, moved=len(self.calls))

    def cancel_move(self, queue: str, move: str) -> None:
        self.calls.append(("cancel", queue, move))


def test_it_is_asked_anew_each_time_and_cancelled_by_name() -> None:
    """Nothing of it is kept here."""
    mover = Mover()
    move = Move("emails", mover, "handle-1")
    assert [1, 2] == [move.progress().moved, move.progress().moved]
    move.cancel()
    assert [("progress", "emails", "handle-1")] * 2 + [("cancel", "emails", "handle-1")] == mover.calls
    assert "Move('emails')" == repr(move)
