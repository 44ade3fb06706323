"""What a worker serves: health pages and metrics, which say of each outage that it is there."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cloudq.app import App
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable, ConfigurationError
from cloudq.testing.clock import FakeClock
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.unit.worker.fakes import Running, Unreliable, running, until

ANY_PORT = ("127.0.0.1", 0)
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    clock = FakeClock()
    yield clock
    clock.advance(60 * SECOND)  # threads that idle for a while end


@pytest.fixture
def driver(clock: FakeClock) -> Unreliable:
    return Unreliable(MemoryDriver(clock=clock))


@pytest.fixture
def app(driver: Unreliable, clock: FakeClock) -> Iterator[App]:
    app = App("memory://")
    app.task("count")(lambda: None)
    with app.using(driver, clock=clock):
        yield app


def get(address: tuple[str, int] | None, path: str) -> tuple[int, bytes]:
    assert address is not None
    connection = http.client.HTTPConnection(*address, timeout=60)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def readyz(worker: Running) -> tuple[int, Any]:
    until(lambda: worker.worker.health_address)
    status, body = get(worker.worker.health_address, "/readyz")
    return status, json.loads(body)


def metrics(worker: Running) -> str:
    until(lambda: worker.worker.metrics_address)
    return get(worker.worker.metrics_address, "/metrics")[1].decode()


def test_the_log_says_where(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """With the real port."""
    caplog.set_level(logging.INFO)
    with running(app, health=ANY_PORT) as worker:
        assert 200 == readyz(worker)[0]
        host, port = worker.worker.health_address or ("", 0)
    assert f"health pages on http://{host}:{port}/healthz and /readyz" in caplog.messages


def test_a_worker_that_cant_settle_isnt_ready(app: App, driver: Unreliable, clock: FakeClock) -> None:
    """Nothing is received meanwhile, though nothing is wrong with its polls; once it is settled it is ready again."""
    with running(app, health=ANY_PORT) as worker:
        until(lambda: readyz(worker)[0] == 200)
        driver.failing["settle"] = BackendUnavailable("no route")
        app.send("count")
        until(lambda: readyz(worker)[0] == 503)
        page = readyz(worker)[1]
        assert ["queue default: its settlements fail, and nothing is received from it meanwhile; see the log"] == page[
            "problems"
        ]
        assert {"default": "settlements fail"} == page["queues"]
        driver.failing.clear()

        def settled() -> bool:
            clock.advance(SECOND)
            return bool(readyz(worker)[0] == 200)

        until(settled)


def test_a_worker_that_cant_extend_leases_isnt_ready(app: App, driver: Unreliable, clock: FakeClock) -> None:
    """Until one is extended again."""
    gate, runs = threading.Event(), threading.Event()

    @app.task("wait")
    def wait() -> None:
        runs.set()
        gate.wait(20)

    wait.send()
    with running(app, health=ANY_PORT, lease=30 * SECOND) as worker:
        try:
            assert runs.wait(60)
            driver.failing["extend"] = BackendUnavailable("no route")
            # No more than half of the lease, and then a pause: the threads may take their time.
            clock.advance(15 * SECOND)
            until(lambda: readyz(worker)[0] == 503 or clock.advance(0 * SECOND))
            assert ["leases can't be extended, see the log"] == readyz(worker)[1]["problems"]

            driver.failing.clear()
            clock.advance(2 * SECOND)
            until(lambda: readyz(worker)[0] == 200 or clock.advance(0 * SECOND))
            assert not worker.worker.snapshot().lease_lost
        finally:
            gate.set()


def test_a_scrape_asks_how_the_worker_stands(app: App, driver: Unreliable, clock: FakeClock) -> None:
    """What it has in hand, whether it is ready, and of each thing that may fail whether it does."""
    gate, runs = threading.Event(), threading.Event()

    @app.task("wait")
    def wait() -> None:
        runs.set()
        gate.wait(20)

    wait.send()
    with running(app, metrics=ANY_PORT, concurrency=3) as worker:
        try:
            assert runs.wait(60)
            page = metrics(worker)
            assert "cloudq_worker_ready 1.0" in page
            assert "cloudq_worker_slots 3.0" in page
            assert 'cloudq_deliveries{state="running"} 1.0' in page
            assert 'cloudq_tasks_started_total{queue="default",task="wait"} 1.0' in page
            for kind in ("receive", "settle", "store", "unknown_tasks"):
                assert f'cloudq_outage{{kind="{kind}",queue="default"}} 0.0' in page
            for kind in ("store", "leases"):
                assert f'cloudq_outage{{kind="{kind}",queue=""}} 0.0' in page
            driver.failing["settle"] = BackendUnavailable("no route")
            gate.set()
            until(lambda: 'cloudq_outage{kind="settle",queue="default"} 1.0' in metrics(worker))
            assert "cloudq_worker_ready 0.0" in metrics(worker)
            driver.failing.clear()

            def ready() -> bool:
                clock.advance(SECOND)
                return "cloudq_worker_ready 1.0" in metrics(worker)

            until(ready)
        finally:
            gate.set()


def test_metrics_that_cant_be_served_leave_no_port_taken(app: App) -> None:
    """The worker doesn't start, and the health pages' port is free again."""
    with socket.create_server(ANY_PORT) as taken, socket.create_server(ANY_PORT) as free:
        address = free.getsockname()
        free.close()
        worker = Worker(app, WorkerSettings(health=address, metrics=taken.getsockname()))
        with pytest.raises(ConfigurationError, match="the metrics can't be served on"):
            worker.run()

        def is_free() -> bool:
            try:
                socket.create_server(address).close()
            except OSError:
                return False
            return True

        until(is_free)
