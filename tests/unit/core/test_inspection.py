"""What can be looked at in a queue: unknown numbers are told apart from zero."""

from __future__ import annotations

from cloudq.core.inspection import DeadMessage, QueueStats


def test_what_a_backend_does_not_say_is_unknown() -> None:
    """And zero is a number."""
    assert QueueStats() != QueueStats(ready=0)
    assert (None, None, None, None, None) == tuple(getattr(QueueStats(), name) for name in QueueStats.__struct_fields__)


def test_a_dead_letter_may_be_unreadable_and_without_a_reason() -> None:
    """Where the service itself gave up on bytes that no cloudq wrote."""
    dead = DeadMessage(key="7", id="7", queue="q", body=b"\xff", message=None, failure=None)
    assert (b"\xff", None) == (dead.body, dead.dead_at)
