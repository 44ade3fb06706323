"""One run of a task: what it returns, and what must not count as done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cloudq import App
from cloudq.core.message import Message
from cloudq.tasks.context import Context, maybe_current
from cloudq.tasks.job import TaskJob
from cloudq.tasks.task import definition_of


def job(function: Any) -> TaskJob:
    definition = definition_of(App("memory://").task("t")(function))
    return TaskJob(definition, Context(Message(id="1", task="t", queue="default")), {"n": 1})


def hiding(n: int) -> object:
    return asyncio.sleep(n)


def test_a_run_has_its_context_while_it_lasts() -> None:
    """Plain or async."""

    def plain(n: int) -> object:
        return n, maybe_current()

    async def awaited(n: int) -> object:
        return n, maybe_current()

    for made, run in ((job(plain), lambda one: one.run()), (job(awaited), lambda one: asyncio.run(one.arun()))):
        assert (1, made.context) == run(made)
        assert maybe_current() is None


def test_a_result_that_has_yet_to_run_is_no_result() -> None:
    """A decorator hid that the function is async: nothing of it has run."""
    with pytest.raises(TypeError, match="whose code nothing would run"):
        job(hiding).run()
