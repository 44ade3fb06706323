"""How long tasks wait for each other: one of 100 ms behind 9 short ones and in front of 90, in a worker that idles."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from urllib.parse import urlsplit

import cloudq
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.benchmarks.measure import percentile
from tests.benchmarks.sqs_place import ACCOUNT, ENDPOINT, QUEUE, REGION, main
from tests.benchmarks.stand_in.control import Control

logging.getLogger("cloudq").setLevel(logging.ERROR)  # that it has no TLS, nor a main thread, is meant
app = cloudq.App(f"sqs://{REGION}?account={ACCOUNT}", default_queue=QUEUE)
LONG = 0.1
BEFORE = 9
AFTER = 90
starts: deque[float] = deque()


@app.task("short")
def short() -> None:
    """Notes when it started."""
    starts.append(time.monotonic())


@app.task("long")
def long() -> None:
    """Notes when it started, and takes a tenth of a second."""
    starts.append(time.monotonic())
    time.sleep(LONG)


def mix(rounds: int) -> None:
    """Prints how long after the messages could be received the tasks started, in milliseconds."""
    port = urlsplit(ENDPOINT).port
    assert port is not None
    service = Control(port)
    calls = [*[short.call()] * BEFORE, long.call(), *[short.call()] * AFTER]
    app.send_many([short.call()])  # opens the driver, and warms what a first task warms
    worker = Worker(app, WorkerSettings())
    running = threading.Thread(target=worker.run)
    running.start()
    wait_for(service, 1)
    delays: list[float] = []
    for _ in range(rounds):
        starts.clear()
        service.close_gate()
        app.send_many(calls)
        opened = service.open_gate()
        wait_for(service, len(calls))
        delays.extend((start - opened) * 1000 for start in starts)
    worker.stop()
    running.join()
    print(json.dumps({"p50_ms": percentile(delays, 0.5), "p99_ms": percentile(delays, 0.99), "worst_ms": max(delays)}))


def wait_for(service: Control, count: int) -> None:
    """Waits until so many tasks have started, and no message is left."""
    while len(starts) < count or service.left(QUEUE):
        time.sleep(0.02)


if __name__ == "__main__":
    main({"mix": mix})
