"""A program in another language, with a client that shares no code with ours, exchanges CloudEvents with cloudq."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import cloudq
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.integration.service_bus_emulator.npm import Unavailable, installed

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[1] / "service_bus_emulator" / "javascript" / "exchange.js"


@pytest.fixture(scope="module")
def modules() -> Path:
    """Where node finds the client."""
    try:
        return installed() / "node_modules"
    except Unavailable as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the JavaScript client isn't there: {reason}")


def test_events_go_both_ways(modules: Path) -> None:
    """Its events run tasks, plain and in a session; what cloudq sends it receives as plain CloudEvents in JSON."""
    ran: list[tuple[int, str | None]] = []
    app = cloudq.App()

    @app.task("shop.pack", queues=["to-us", "to-us.fifo", "to-them", "to-them.fifo"])
    def pack(number: int) -> None:
        ran.append((number, cloudq.current().message.source))

    with ServiceBusEmulator(admin_port=None) as emulator:
        queues = ["to-us", "to-us.fifo", "to-them", "to-them.fifo"]
        for queue in queues:
            emulator.create_queue(queue, QueueSettings(requires_session=queue.endswith(".fifo")))
        driver = ServiceBusDriver("127.0.0.1", connection_string=emulator.connection_string)
        with app.using(driver):
            pack.options(queue="to-them").send(number=3)
            pack.options(queue="to-them.fifo", ordering_key="customer-9").send(number=4)
            found = subprocess.run(
                ["node", str(SCRIPT), emulator.connection_string, *queues],
                env=os.environ | {"NODE_PATH": str(modules)},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert (found.returncode, found.stderr) == (0, "")
            Worker(app, WorkerSettings(burst=True, queues={"to-us": 1, "to-us.fifo": 1})).run()
        driver.close()
    plain, ordered = (json.loads(line) for line in found.stdout.splitlines())
    assert (plain["contentType"], plain["body"]["specversion"]) == ("application/cloudevents+json", "1.0")
    assert (plain["body"]["type"], plain["body"]["data"]) == ("shop.pack", {"number": 3})
    assert (ordered["sessionId"], ordered["body"]["data"]) == ("customer-9", {"number": 4})
    assert sorted(ran) == [(1, "/shop/node"), (2, "/shop/node")]
