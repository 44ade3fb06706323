"""What a worker serves: its health pages, which say of each outage that it is there."""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cloudq.app import App
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable
from cloudq.testing.clock import FakeClock
from tests.unit.worker.fakes import Running, Unreliable, running, until

ANY_PORT = ("127.0.0.1", 0)
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def driver(clock: FakeClock) -> Unreliable:
    return Unreliable(MemoryDriver(clock=clock))


@pytest.fixture
def app(driver: Unreliable, clock: FakeClock) -> Iterator[App]:
    app = App("memory://")
    app.task("count")(lambda: None)
    with app.using(driver, clock=clock):
        yield app


def readyz(worker: Running) -> tuple[int, Any]:
    until(lambda: worker.worker.health_address)
    assert worker.worker.health_address is not None
    connection = http.client.HTTPConnection(*worker.worker.health_address, timeout=10)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


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
            assert runs.wait(10)
            driver.failing["extend"] = BackendUnavailable("no route")

            def unready() -> bool:
                clock.advance(SECOND)
                return bool(readyz(worker)[0] == 503)

            until(unready)
            assert ["leases can't be extended, see the log"] == readyz(worker)[1]["problems"]

            driver.failing.clear()

            def ready() -> bool:
                clock.advance(SECOND)
                return bool(readyz(worker)[0] == 200)

            until(ready)
            assert not worker.worker.snapshot().lease_lost
        finally:
            gate.set()
