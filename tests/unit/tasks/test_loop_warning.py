"""A blocking send warns where an event loop runs, and only there."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings

import pytest

from cloudq.app import App
from cloudq.drivers.memory import MemoryDriver
from cloudq.tasks.loop_warning import LoopWarning

# In a process of its own: asyncio must not have been imported. The second thread sends while the first one is half-way.
HALF_IMPORTED = """
import importlib.abc, sys, tempfile, threading
import cloudq

app = cloudq.App(f"sqlite:///{tempfile.mkdtemp()}/q.db")

@app.task("done")
def done(x: int) -> None: ...

half_way, go_on = threading.Event(), threading.Event()

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "asyncio.base_events":
            half_way.set()
            assert go_on.wait(60)

done.send(x=0)
assert "asyncio" not in sys.modules
sys.meta_path.insert(0, Slow())
importing = threading.Thread(target=lambda: __import__("asyncio"))
importing.start()
assert half_way.wait(60)
assert not hasattr(sys.modules["asyncio"], "_get_running_loop")
done.send(x=1)
go_on.set()
importing.join()
print(app.queue("default").stats().ready)
"""


def test_it_warns_once_on_a_loop() -> None:
    """It names the method to use, and the line that called."""
    app = App("memory://")

    @app.task("t")
    def t() -> None:
        """Does nothing."""

    async def send_twice() -> None:
        t.send()
        t.send()

    with app.using(MemoryDriver()), pytest.warns(RuntimeWarning, match=r"use `await asend\(") as caught:
        asyncio.run(send_twice())
    assert [__file__] == [warning.filename for warning in caught]


def test_it_says_nothing_without_a_loop() -> None:
    """Nor where asyncio is loaded and no loop runs in this thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LoopWarning().look("send")


def test_a_send_works_while_another_thread_imports_asyncio() -> None:
    """A module that is being imported has a part of its names only."""
    done = subprocess.run(
        [sys.executable, "-c", HALF_IMPORTED], capture_output=True, text=True, timeout=200, check=False
    )
    assert ("2\n", 0) == (done.stdout, done.returncode), done.stderr
