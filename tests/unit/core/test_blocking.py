"""Step: the same work for a thread and for an event loop."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from cloudq.core.blocking import Step


def test_a_step_says_how_long_it_may_take_and_does_the_same_either_way() -> None:
    """The Processor drives both by one generator."""

    async def arun() -> str:
        return "done"

    step = Step(timedelta(seconds=1), lambda: "done", arun)
    assert (step.limit, step.run(), asyncio.run(_await(step))) == (timedelta(seconds=1), "done", "done")


async def _await(step: Step) -> object:
    return await step.arun()
