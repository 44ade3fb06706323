"""Cancellation: whether an error that ends a task is the task's own, or its caller is being cancelled."""

from __future__ import annotations


def is_the_tasks_own(error: BaseException, *, cancelled: bool) -> bool:
    """Whether it says something about the task, unlike a KeyboardInterrupt, or a cancellation from outside."""
    from asyncio import CancelledError

    return isinstance(error, (Exception, SystemExit)) or (isinstance(error, CancelledError) and not cancelled)


def is_never_cancelled() -> bool:
    """For callers that nobody cancels: those outside of an event loop."""
    return False


def is_being_cancelled() -> bool:
    """Whether somebody has cancelled the asyncio task that runs here."""
    from asyncio import current_task

    try:
        task = current_task()
    except RuntimeError:  # an abandoned coroutine is closed by the garbage collector, outside of its loop
        return False
    return task is not None and task.cancelling() > 0
