"""The time limit of a coroutine: our error for its own expiry, and no other."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from cloudq.core.async_time_limit import AsyncTimeLimit
from cloudq.errors import TimeLimitExceeded
from cloudq.testing.clock import FakeClock


def test_what_is_awaited_for_too_long_is_ended() -> None:
    """With the limit in words, and asyncio's error as the cause."""

    async def wait() -> None:
        async with AsyncTimeLimit(timedelta(milliseconds=10)):
            await asyncio.Event().wait()

    with pytest.raises(TimeLimitExceeded, match=r"longer than its time limit of 0:00:00\.01") as raised:
        asyncio.run(wait())
    assert isinstance(raised.value.__cause__, TimeoutError)


def test_the_end_by_both_clocks_in_one_turn_is_one_end() -> None:
    """The last look comes due in the loop's turn in which asyncio's own timeout does: nothing fails, or is logged."""
    wrong: list[object] = []

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: wrong.append(context["message"]))
        async with AsyncTimeLimit(timedelta(milliseconds=10)):
            loop.call_soon(time.sleep, 0.05)  # both are over when the loop looks next
            await asyncio.Event().wait()

    with pytest.raises(TimeLimitExceeded):
        asyncio.run(wait())
    assert wrong == []


def test_a_timeout_of_ones_own_stays_what_it_is() -> None:
    """It says something about the handler, not about its limit."""

    async def fail() -> None:
        async with AsyncTimeLimit(timedelta(minutes=1)):
            raise TimeoutError("a socket")

    with pytest.raises(TimeoutError, match="a socket"):
        asyncio.run(fail())


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_machine_that_slept_has_used_the_limit_up(step: timedelta) -> None:
    """Suspended time counts, though asyncio's clock stands still then, and is noticed within a second.

    A wall clock that is set changes nothing.
    """
    clock = FakeClock()
    clock.step(step)

    async def wait() -> None:
        async with AsyncTimeLimit(timedelta(minutes=10), clock):
            clock.suspend(timedelta(minutes=10))
            clock.step(step)
            await asyncio.wait_for(asyncio.Event().wait(), 60)

    with pytest.raises(TimeLimitExceeded):
        asyncio.run(wait())


def test_a_block_in_time_leaves_nothing_on_the_loop() -> None:
    """What would have looked at the time is cancelled with the block."""

    async def work() -> bool:
        limit = AsyncTimeLimit(timedelta(hours=1))
        async with limit:
            await asyncio.sleep(0)
        assert limit._next_look is not None
        return limit._next_look.cancelled()

    assert asyncio.run(work())
