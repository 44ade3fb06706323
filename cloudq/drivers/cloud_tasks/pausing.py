"""Pausing queues, by the service itself: a paused queue takes tasks and pushes none."""

from __future__ import annotations

from google.cloud.tasks_v2 import Queue

from cloudq.drivers.cloud_tasks.calls import Calls
from cloudq.errors import QueueNotFound, UnsupportedError


def pause(calls: Calls, parent: str, queue: str) -> bool:
    """Pauses the queue. Whether it wasn't paused."""
    if is_paused(calls, parent, queue):
        return False
    calls.pause_queue(parent, queue)
    return True


def resume(calls: Calls, parent: str, queue: str) -> bool:
    """Resumes the queue. Whether it was paused.

    Raises:
        UnsupportedError: The service itself has disabled it, which nobody can undo by resuming it.
    """
    if not is_paused(calls, parent, queue):
        return False
    calls.resume_queue(parent, queue)
    return True


def is_paused(calls: Calls, parent: str, queue: str) -> bool:
    """Whether the queue is paused.

    Raises:
        QueueNotFound: There is none.
        UnsupportedError: It is disabled: by the service, or by a queue.yaml ("Queue.State", RPC reference, 2026-11).
    """
    found = calls.get_queue(parent, queue)
    if found is None:
        raise QueueNotFound(f"there is no queue {queue!r}", hint=f"cloudq queues create {queue}")
    if found.state == Queue.State.DISABLED:
        raise UnsupportedError(f"queue {queue!r} is disabled, not paused", hint="enable it in its queue.yaml")
    return bool(found.state == Queue.State.PAUSED)
