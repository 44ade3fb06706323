"""Whether an error that ends a task is its own."""

from __future__ import annotations

import asyncio

import pytest

from cloudq.core.cancellation import is_being_cancelled, is_never_cancelled, is_the_tasks_own


@pytest.mark.parametrize("cancelled", [False, True])
def test_errors_and_exits_are_the_tasks_own(cancelled: bool) -> None:
    """An interruption never is; a cancellation only if nobody has cancelled it."""
    assert is_the_tasks_own(ValueError(), cancelled=cancelled)
    assert is_the_tasks_own(SystemExit(1), cancelled=cancelled)
    assert not is_the_tasks_own(KeyboardInterrupt(), cancelled=cancelled)
    assert is_the_tasks_own(asyncio.CancelledError(), cancelled=cancelled) is not cancelled


def test_a_task_of_a_loop_knows_that_it_is_being_cancelled() -> None:
    """Outside of a loop nobody cancels."""
    seen: list[bool] = []

    async def wait() -> None:
        seen.append(is_being_cancelled())
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(is_being_cancelled())

    async def cancel() -> None:
        task = asyncio.get_running_loop().create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert [False, True] == seen
    assert (False, False) == (is_being_cancelled(), is_never_cancelled())
