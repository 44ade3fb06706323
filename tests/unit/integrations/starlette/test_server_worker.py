"""A worker in a thread of the server's process."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cloudq import App
from cloudq.errors import ConfigurationError
from cloudq.integrations.starlette.server_worker import ServerWorker
from cloudq.worker.settings import WorkerSettings
from tests.unit.worker.fakes import until

SETTINGS = WorkerSettings(concurrency=2)


@pytest.fixture
def app(tmp_path) -> Iterator[App]:
    app = App(f"sqlite:///{tmp_path / 'q.db'}")
    yield app
    app.close()


def test_it_runs_tasks_until_it_is_stopped_and_lets_them_end(app, caplog) -> None:
    """The hooks are called once, around them; signals stay the server's, and nothing is said of that."""
    events: list[str] = []
    begun, go_on = threading.Event(), threading.Event()
    app.on_start(lambda: events.append("start"))
    app.on_stop(lambda: events.append("stop"))

    @app.task("t")
    def task() -> None:
        begun.set()
        assert go_on.wait(60)
        events.append("ran")

    before = signal.getsignal(signal.SIGTERM)
    worker = ServerWorker(app, SETTINGS)
    worker.start()
    assert ["start"] == events
    app.send("t")
    assert begun.wait(60)
    assert worker.alive
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    go_on.set()
    stopping.join(60)
    assert not worker.alive
    assert ["start", "ran", "stop"] == events
    assert before is signal.getsignal(signal.SIGTERM)
    assert [] == [record.message for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"processes": 2}, "processes"),
        ({"burst": True}, "burst"),
        ({"max_tasks": 1}, "max_tasks"),
        ({"fail_fast": True}, "fail_fast"),
    ],
)
def test_what_needs_a_process_of_its_own_is_refused(app, asked, said) -> None:
    """By name, before the server starts."""
    app.task("t")(lambda: None)
    settings: Any = asked
    with pytest.raises(ConfigurationError, match=f"{said} is for a worker with a process of its own"):
        ServerWorker(app, WorkerSettings(**settings))


def test_a_start_that_fails_is_the_servers(app) -> None:
    """No thread is left, and `on_stop` isn't called."""
    events: list[str] = []
    app.task("t")(lambda: None)
    app.on_start(lambda: 1 / 0)
    app.on_stop(lambda: events.append("stop"))
    worker = ServerWorker(app, SETTINGS)
    with pytest.raises(ZeroDivisionError):
        worker.start()
    assert not worker.alive
    assert [] == events


def test_a_worker_that_ends_by_itself_is_logged(app, caplog, monkeypatch) -> None:
    """The server goes on serving: somebody has to know."""
    app.task("t")(lambda: None)
    for ending, said in ((lambda **_: 1, "has ended (1)"), (lambda **_: 1 / 0, "within the server has ended; what")):
        worker = ServerWorker(app, SETTINGS)
        monkeypatch.setattr(worker._worker, "run", ending)
        worker.start()
        until(lambda worker=worker: not worker.alive)
        worker.stop()
        assert said in caplog.records[-1].message
