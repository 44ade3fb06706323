"""The time limit of a coroutine: our error for its own expiry, and no other."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from cloudq.core.async_time_limit import AsyncTimeLimit
from cloudq.errors import TimeLimitExceeded


def test_what_is_awaited_for_too_long_is_ended() -> None:
    """With the limit in words, and asyncio's error as the cause."""

    async def wait() -> None:
        async with AsyncTimeLimit(timedelta(milliseconds=10)):
            await asyncio.Event().wait()

    with pytest.raises(TimeLimitExceeded, match=r"longer than its time limit of 0:00:00\.01") as raised:
        asyncio.run(wait())
    assert isinstance(raised.value.__cause__, TimeoutError)


def test_a_timeout_of_ones_own_stays_what_it_is() -> None:
    """It says something about the handler, not about its limit."""

    async def fail() -> None:
        async with AsyncTimeLimit(timedelta(minutes=1)):
            raise TimeoutError("a socket")

    with pytest.raises(TimeoutError, match="a socket"):
        asyncio.run(fail())
