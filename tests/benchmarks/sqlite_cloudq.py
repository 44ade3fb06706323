"""cloudq's side of the benchmark: `send`, `send_many`, `threads`, `work`, `idle` and `spaced`."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from pathlib import Path

import cloudq
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.benchmarks.measure import Stopwatch, percentile

SYNCHRONOUS = os.environ.get("BENCH_SYNCHRONOUS", "full")
app = cloudq.App(f"sqlite:///{Path(os.environ['BENCH_FOLDER'], 'cloudq.db')}?synchronous={SYNCHRONOUS}")
PAYLOAD = {"text": "x" * 180}
latencies: list[float] = []


@app.task("noop")
def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""


@app.task("stamped")
def stamped(sent: int) -> None:
    """Notes how long after its send it started."""
    latencies.append((time.time_ns() - sent) / 1e6)


def send(count: int) -> None:
    """One send after the other."""
    app.driver()
    watch = Stopwatch()
    for _ in range(count):
        noop.send(**PAYLOAD)
    watch.report(count)


def threads(count: int) -> None:
    """Sixteen threads that send, as web threads do."""
    app.driver()
    watch = Stopwatch()
    workers = [threading.Thread(target=lambda: [noop.send(**PAYLOAD) for _ in range(count // 16)]) for _ in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    watch.report(count // 16 * 16)


def send_many(count: int) -> None:
    """All in one call."""
    app.driver()
    watch = Stopwatch()
    app.send_many(noop.call(**PAYLOAD) for _ in range(count))
    watch.report(count)


def work(count: int) -> None:
    """Works off what was sent."""
    worker = Worker(app, WorkerSettings(max_tasks=count))
    watch = Stopwatch()
    worker.run()
    left = app.queue("default").stats()
    assert left.ready == 0
    watch.report(count)


def idle(seconds: int) -> None:
    """An idle worker that then gets single tasks at random moments from another process, until its stdin closes."""
    worker = Worker(app, WorkerSettings())
    thread = threading.Thread(target=worker.run)
    thread.start()
    time.sleep(1)
    cpu = time.process_time()
    time.sleep(seconds)
    idle_share = (time.process_time() - cpu) / seconds
    print("ready", flush=True)
    sys.stdin.read()
    stats = app.queue("default").stats
    while (now := stats()).ready or now.in_flight:  # the last one may have been sent just now
        time.sleep(0.05)
    worker.stop()
    thread.join()
    figures = {
        "idle_percent": idle_share * 100,
        "p50_ms": percentile(latencies, 0.5),
        "p95_ms": percentile(latencies, 0.95),
    }
    print(json.dumps({**figures, "count": len(latencies)}), flush=True)


def spaced(count: int) -> None:
    """Single tasks at random moments."""
    app.driver()
    watch = Stopwatch()
    for _ in range(count):
        time.sleep(random.uniform(0.02, 0.08))
        stamped.send(sent=time.time_ns())
    watch.report(count)


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]))
