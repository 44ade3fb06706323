"""What is called on a loop before it ends."""

from __future__ import annotations

import asyncio

from cloudq.tasks.loop_ends import at_end, end


def test_the_latest_is_called_first_and_each_once() -> None:
    """What was opened on top of another closes before it."""
    called: list[str] = []

    async def main() -> None:
        async def one() -> None:
            called.append("one")

        async def other() -> None:
            called.append("other")

        loop = asyncio.get_running_loop()
        at_end(loop, one)
        at_end(loop, other)
        await end(loop)
        await end(loop)

    asyncio.run(main())
    assert ["other", "one"] == called
