"""How far a move by the backend is."""

from __future__ import annotations

import pytest

from cloudq.core.moving import MoveProgress, MoveState


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        (MoveState.RUNNING, False),
        (MoveState.CANCELLING, False),
        (MoveState.COMPLETED, True),
        (MoveState.CANCELLED, True),
        (MoveState.FAILED, True),
    ],
)
def test_a_move_that_is_being_cancelled_may_still_move_some(state: MoveState, ended: bool) -> None:
    """Only what is completed, cancelled or failed moves nothing any more."""
    assert ended is state.ended


def test_numbers_that_the_backend_has_not_said_are_unknown_and_not_zero() -> None:
    """`None` until it says them."""
    progress = MoveProgress(state=MoveState.RUNNING)
    assert (None, None, None) == (progress.moved, progress.total, progress.reason)
