"""`App`: opening and forking, and keeping apps apart."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudq import App
from cloudq.core.driver import Outgoing
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import (
    BackendError,
    ConfigurationError,
    OptionError,
    TaskDefinitionError,
)
from cloudq.queues.urls import URL_VARIABLE
from cloudq.testing import FakeClock, in_memory, run_all, sent


@pytest.fixture
def app() -> Iterator[App]:
    with in_memory(App()) as app:
        yield app


def echo(n: int) -> None: ...


def test_two_apps_do_not_see_each_other(app):
    """A task of one is unknown to the other, by object and by name; the name may be used twice."""
    mine = app.task("t")(echo)
    with in_memory(App()) as other:
        theirs = other.task("t", queue="theirs")(echo)
        for send in (
            lambda: other.send(mine, {"n": 1}),
            lambda: other.send(mine.call(1)),
            lambda: other.send_many([theirs.call(1), mine.call(1)]),
            lambda: asyncio.run(other.asend(mine, {"n": 1})),
        ):
            with pytest.raises(OptionError, match="belongs to another App"):
                send()
        assert ([], []) == (sent(app), sent(other))
        theirs.send(1)
        mine.send(2)
        assert [{"n": 1}] == [message.payload for message in sent(other)]
    assert [{"n": 2}] == [message.payload for message in sent(app)]


# ── configuring and opening ──────────────────────────────────────────────────────────────────────────────


def test_declaring_opens_nothing():
    """An app can be declared at import, whatever its URL is."""
    app = App("nobodys://backend")
    task = app.task("t")(echo)
    task.call(1)
    app.load()
    assert not app.is_open
    with pytest.raises(ConfigurationError):
        task.send(1)
    assert not app.is_open, "the next send tries again"


def test_load_imports_the_modules_that_are_named():
    """A missing one is a configuration error."""
    with pytest.raises(ConfigurationError, match="imports names 'nowhere_at_all'"):
        App("memory://", imports=["nowhere_at_all"]).load()
    App("memory://", imports=["keyword"]).load()


def test_an_app_opens_one_backend_for_all_threads():
    """Threads that send first at the same time share a driver, and each queue's handle."""
    app = App("memory://")
    barrier = threading.Barrier(8)
    handles = []

    def first() -> None:
        barrier.wait()
        handles.append((app.driver(), app.queue("q")))

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == len({id(driver) for driver, _ in handles})
    assert 1 == len({id(queue) for _, queue in handles})
    app.close()


def test_a_closed_app_opens_again():
    """`close` ends the backend's use, not the app's."""
    app = App("memory://")
    first = app.driver()
    app.close()
    app.close()
    assert not app.is_open
    with pytest.raises(BackendError, match="closed"):
        first.send([Outgoing(id="1", queue="q", body=b"{}")])
    assert first is not app.driver()
    app.close()


def test_the_default_file_is_named_once_in_the_log(monkeypatch, tmp_path, caplog):
    """Where nothing is set, it says where tasks are kept; where something is set, it says nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    app = App()
    with caplog.at_level(logging.WARNING, "cloudq"):
        app.send("t")
        app.send("t")
    assert [f"CLOUDQ_URL is not set: tasks are kept in sqlite:///{tmp_path}/cloudq.db"] == caplog.messages
    app.close()
    caplog.clear()
    monkeypatch.setenv(URL_VARIABLE, "sqlite:///cloudq.db")
    for other in (App(), App("sqlite:///cloudq.db")):
        other.send("t")
        other.close()
    assert [] == caplog.messages


def test_a_queue_has_a_name(app):
    """A handle of nothing isn't given."""
    with pytest.raises(OptionError):
        app.queue("")
    assert app.queue("q") is app.queue("q")
    assert "q-dlq" == app.queue("q-dlq").name, "tools look at dead-letter queues"


def test_a_driver_can_be_lent():
    """`using` puts the app on another driver and clock, and back as it was; nothing is closed, not even by `close`."""
    app = App("memory://")
    app.send("t")
    own, clock = app.driver(), app.clock
    lent, fake = MemoryDriver(), FakeClock()
    with app.using(lent, clock=fake) as same:
        assert (app, lent, fake) == (same, app.driver(), app.clock)
        app.close()
        app.send("t")
    assert (own, clock) == (app.driver(), app.clock)
    assert 1 == len(lent.sent)
    lent.send([Outgoing(id="1", queue="q", body=b"{}")])
    app.close()


def test_an_app_shows_no_url():
    """It may come from the environment, and holds no secret anyway."""
    app = App("memory://")
    app.task("t")(echo)
    assert "App(1 tasks)" == repr(app)


def test_an_app_that_nobody_holds_is_forgotten():
    """The list of apps to look after at a fork keeps none alive."""
    app = App("memory://")
    reference = weakref.ref(app)
    del app
    gc.collect()
    assert reference() is None


def test_a_task_that_is_refused_leaves_the_app_as_it_was(app):
    """Neither a name nor an alias of it is taken."""
    with pytest.raises(TaskDefinitionError):
        app.task("t", aliases=["a"])(len)
    assert ({}, {}) == (dict(app.tasks), dict(app.runtime.handlers))


# ── fork ─────────────────────────────────────────────────────────────────────────────────────────────────

FORK = """
import os, sys, threading
import cloudq

app = cloudq.App("sqlite:///q.db")

@app.task("t")
def task(n: int) -> None: ...

def in_child(function):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0

task.send(1)
parents = app.driver()

def child():
    assert not app.is_open
    task.send(2)
    assert app.driver() is not parents
    in_child(lambda: task.send(3))
    task.send(4)
    app.close()

in_child(child)
task.send(5)
assert app.driver() is parents
assert app.queue("default").stats().ready == 5, app.queue("default").stats()
app.close()

# A thread of the parent is opening the backend at this very moment: the child must not wait for it.
opening, go_on = threading.Event(), threading.Event()
import cloudq.queues.connection as module
real = module.open_driver

def slow(*args):
    opening.set()
    assert go_on.wait(60)
    return real(*args)

module.open_driver = slow
thread = threading.Thread(target=app.driver)
thread.start()
assert opening.wait(60)

def child():
    module.open_driver = real
    task.send(6)

in_child(child)
go_on.set()
thread.join()
assert app.queue("default").stats().ready == 6

# What was lent belongs to the process that it was lent in.
from cloudq.testing import in_memory

def child():
    try:
        task.send(7)
    except cloudq.ConfigurationError as error:
        assert "forked" in str(error)
    else:
        raise AssertionError("it was sent elsewhere")

with in_memory(app):
    in_child(child)
assert app.queue("default").stats().ready == 6
print("done")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_a_forked_child_opens_a_backend_of_its_own(tmp_path):
    """The child, and its child, send on their own; the parent goes on with what it has."""
    script = tmp_path / "forking.py"
    script.write_text(FORK)
    result = subprocess.run(
        # Python 3.12 warns of forks beside threads, which is what is tested.
        [sys.executable, "-W", "ignore::DeprecationWarning", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "done\n") == (result.returncode, result.stdout), result.stderr


# ── the whole way ────────────────────────────────────────────────────────────────────────────────────────


def test_a_delay_is_kept_by_the_backend(app):
    """It isn't worked before its time."""
    ran = []

    @app.task("t")
    def task() -> None:
        ran.append(app.clock.now())

    due = app.clock.now() + timedelta(hours=1)
    task.options(delay=timedelta(hours=1)).send()
    assert (0, 1) == (app.queue("default").stats().ready, app.queue("default").stats().delayed)
    run_all(app)
    assert [due] == ran
