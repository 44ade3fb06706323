"""The health pages of a live worker."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cloudq.app import App
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable, ConfigurationError, QueuePaused, StorageReplaced
from cloudq.worker import health as health_module
from cloudq.worker import starvation as starvation_module
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.unit.worker.fakes import Running, Unreliable, running, until

ANY_PORT = ("127.0.0.1", 0)


@pytest.fixture
def driver() -> Unreliable:
    return Unreliable(MemoryDriver())


@pytest.fixture
def app(driver: Unreliable) -> Iterator[App]:
    app = App("memory://")
    app.task("count")(lambda: None)
    with app.using(driver):
        yield app


def get(worker: Running, path: str, method: str = "GET") -> tuple[int, Any]:
    until(lambda: worker.worker.health_address)
    assert worker.worker.health_address is not None
    connection = http.client.HTTPConnection(*worker.worker.health_address, timeout=60)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        assert "application/json" == response.getheader("Content-Type")
        return response.status, json.loads(body) if body else None
    finally:
        connection.close()


def test_a_worker_at_work_is_alive_and_ready(app: App) -> None:
    """Both pages answer 200 with the counts and the state of each queue."""
    app.send("count")
    with running(app, health=ANY_PORT, wait=timedelta(milliseconds=20)) as worker:
        until(lambda: worker.worker.snapshot().succeeded == 1)
        until(lambda: get(worker, "/readyz")[1]["queues"] == {"default": "polling"})
        for page in ("/healthz", "/readyz?verbose"):
            status, said = get(worker, page)
            assert (200, True, []) == (status, said["ok"], said["problems"])
            assert 1 == said["counts"]["succeeded"]


def test_a_worker_without_backend_is_alive_but_not_ready(app: App, driver: Unreliable) -> None:
    """A backend that is down makes a worker unready; restarting it wouldn't help, so it is alive."""
    driver.failing["receive"] = BackendUnavailable("no route")
    with running(app, health=ANY_PORT) as worker:
        until(lambda: get(worker, "/readyz")[0] == 503)
        # Anybody who can connect may read the page: the text, with its hosts and paths, is for the log alone.
        assert ["queue default: BackendUnavailable, see the log"] == get(worker, "/readyz")[1]["problems"]
        assert 200 == get(worker, "/healthz")[0]


def test_a_worker_among_strangers_is_alive_but_not_ready(app: App) -> None:
    """Ten messages of tasks that it doesn't know and no known one: somebody should look; a restart wouldn't help."""
    for _ in range(12):
        app.send("theirs", {}, queue="default")
    with running(app, health=ANY_PORT) as worker:
        until(lambda: get(worker, "/readyz")[0] == 503)
        said = get(worker, "/readyz")[1]
        assert ["queue default: its messages are of tasks that this program doesn't know: theirs"] == said["problems"]
        assert {"default": "unknown tasks"} == said["queues"]
        assert 200 == get(worker, "/healthz")[0]


def test_a_paused_queue_is_named_and_no_trouble(app: App, driver: Unreliable) -> None:
    """Somebody wanted it so: the worker is ready for when it is resumed."""
    driver.failing["receive"] = QueuePaused("queue 'default' is paused")
    with running(app, health=ANY_PORT) as worker:
        until(lambda: get(worker, "/readyz")[1]["queues"] == {"default": "paused"})
        assert (200, []) == (get(worker, "/readyz")[0], get(worker, "/readyz")[1]["problems"])


def test_a_worker_that_stops_is_not_ready(app: App) -> None:
    """Once told to stop a worker is alive and no longer ready."""
    gate, runs = threading.Event(), threading.Event()

    @app.task("wait")
    def wait() -> None:
        runs.set()
        gate.wait(20)

    wait.send()
    with running(app, health=ANY_PORT) as worker:
        assert runs.wait(60)
        worker.worker.stop()
        until(lambda: get(worker, "/readyz")[0] == 503)
        assert ["stopping"] == get(worker, "/readyz")[1]["problems"]
        assert 200 == get(worker, "/healthz")[0]
        gate.set()
        worker.join()


def test_an_overdue_poll_is_not_alive(app: App, driver: Unreliable, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll that is long overdue shows on /healthz until the watchdog has replaced it."""
    monkeypatch.setattr(health_module, "PATIENCE", timedelta(milliseconds=50))
    hang = driver.hanging["receive"] = threading.Event()
    with running(app, health=ANY_PORT, wait=timedelta(milliseconds=10)) as worker:
        try:
            until(lambda: get(worker, "/healthz")[0] == 503)
            said = get(worker, "/healthz")[1]
            assert ["the poll of queue default is overdue"] == said["problems"]
            assert {"default": "overdue"} == said["queues"]
        finally:
            hang.set()


def test_a_worker_that_only_a_restart_helps_is_not_alive(app: App, driver: Unreliable) -> None:
    """If its database file was replaced it will never get a message again: /healthz says so."""
    driver.failing["receive"] = StorageReplaced("q.db was replaced", hint="restart this process")
    with running(app, health=ANY_PORT) as worker:
        until(lambda: get(worker, "/healthz")[0] == 503)
        for page in ("/healthz", "/readyz"):
            assert ["queue default: StorageReplaced, see the log"] == get(worker, page)[1]["problems"]


def test_a_worker_that_can_start_nothing_is_not_alive(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If no thread can be had to run tasks in, /healthz says so after a while, until one can be had."""
    monkeypatch.setattr(starvation_module, "STARVED_AFTER", timedelta(seconds=1))
    start, none_left = threading.Thread.start, threading.Event()

    def start_unless_there_are_none(thread: threading.Thread) -> None:
        if none_left.is_set() and thread.name.startswith("cloudq-task"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_unless_there_are_none)
    none_left.set()
    app.send("count")
    with running(app, health=ANY_PORT, wait=timedelta(milliseconds=50)) as worker:
        until(lambda: get(worker, "/healthz")[0] == 503)
        (problem,) = get(worker, "/healthz")[1]["problems"]
        assert "nothing runs them" in problem
        none_left.clear()
        until(lambda: get(worker, "/healthz")[0] == 200)
        until(lambda: worker.worker.snapshot().succeeded == 1)


def test_a_worker_whose_pages_cannot_be_served_does_not_start(app: App) -> None:
    """It says so, and runs nothing."""
    app.send("count")
    with socket.create_server(ANY_PORT) as taken, pytest.raises(ConfigurationError, match="can't be served"):
        Worker(app, WorkerSettings(health=taken.getsockname())).run()
    assert 1 == app.queue("default").stats().ready
