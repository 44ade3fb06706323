"""The default App, and its methods as the package's functions."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

import cloudq
from cloudq.default_app import default
from cloudq.errors import ConfigurationError
from cloudq.testing import in_memory, run_all, sent


def test_the_packages_functions_are_the_default_apps_methods():
    """Declaring and sending in every way ends in that one App."""
    ran = []

    @cloudq.task(f"{__name__}.t")
    def task(n: int) -> None:
        ran.append(n)

    async def asynchronously() -> None:
        await cloudq.asend(task, {"n": 3})
        await cloudq.asend_many([task.call(4)])

    with closing(sqlite3.connect(":memory:")) as connection:
        assert cloudq.outbox_in(connection)._sends.eager is default._eager
    with in_memory(default):
        cloudq.send(task, {"n": 1})
        cloudq.send_many([task.call(2)])
        asyncio.run(asynchronously())
        assert 4 == len(sent(default))
        run_all(default)
    assert [1, 2, 3, 4] == ran
    assert default is task.app


def test_configure_sets_up_the_default_app():
    """Before its backend is open; afterwards it is refused."""
    before = default.default_queue
    try:
        cloudq.configure(default_queue="elsewhere")
        assert "elsewhere" == default.default_queue
    finally:
        cloudq.configure(default_queue=before)
    with in_memory(default), pytest.raises(ConfigurationError, match="open already"):
        cloudq.configure(default_queue="late")
    assert before == default.default_queue
