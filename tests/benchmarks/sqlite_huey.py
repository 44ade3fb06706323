"""Huey's side of the benchmark, on its SQLite storage: the same measurements as cloudq's."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from pathlib import Path

from huey import SqliteHuey
from huey.consumer import Consumer

from tests.benchmarks.measure import Stopwatch, percentile

# FULL is what huey takes by default (SQLite's own default); `normal` stands for its fsync=False, which is OFF.
FSYNC = None if os.environ.get("BENCH_SYNCHRONOUS", "full") == "full" else False
FASTEST = FSYNC is False
"""Its fastest polling goes with its fastest storage."""
app = SqliteHuey(filename=str(Path(os.environ["BENCH_FOLDER"], "huey.db")), fsync=FSYNC, results=False)
PAYLOAD = {"text": "x" * 180}
latencies: list[float] = []


class Counter:
    """How many tasks ran; says when it was the last."""

    def __init__(self) -> None:
        self.left = 0
        self.done = threading.Event()
        self._lock = threading.Lock()

    def count(self) -> None:
        with self._lock:
            self.left -= 1
            if not self.left:
                self.done.set()


counter = Counter()


@app.task()
def noop(text: str) -> None:
    """Does nothing with about 200 bytes, and counts, for the consumer has no burst mode."""
    counter.count()


@app.task()
def stamped(sent: int) -> None:
    """Notes how long after its send it started."""
    latencies.append((time.time_ns() - sent) / 1e6)


def send(count: int) -> None:
    """One enqueue after the other."""
    watch = Stopwatch()
    for _ in range(count):
        noop(**PAYLOAD)
    watch.report(count)


def threads(count: int) -> None:
    """Sixteen threads that enqueue."""
    watch = Stopwatch()
    workers = [threading.Thread(target=lambda: [noop(**PAYLOAD) for _ in range(count // 16)]) for _ in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    watch.report(count // 16 * 16)


def consumer() -> Consumer:
    """Ten threads, as cloudq's worker has; its fastest polling where asked for."""
    fastest = {"initial_delay": 0.001, "max_delay": 0.01} if FASTEST else {}
    return Consumer(app, workers=10, periodic=False, check_worker_health=False, **fastest)


def work(count: int) -> None:
    """Works off what was sent."""
    counter.left = count
    runner = consumer()
    watch = Stopwatch()
    runner.start()
    counter.done.wait()
    watch.report(count)
    os._exit(0)


def idle(seconds: int) -> None:
    """An idle consumer that then gets single tasks at random moments, until its stdin closes."""
    runner = consumer()
    runner.start()
    time.sleep(1)
    cpu = time.process_time()
    time.sleep(seconds)
    idle_share = (time.process_time() - cpu) / seconds
    print("ready", flush=True)
    sys.stdin.read()
    time.sleep(11)
    figures = {
        "idle_percent": idle_share * 100,
        "p50_ms": percentile(latencies, 0.5),
        "p95_ms": percentile(latencies, 0.95),
    }
    print(json.dumps({**figures, "count": len(latencies)}), flush=True)
    os._exit(0)


def spaced(count: int) -> None:
    """Single tasks at random moments."""
    watch = Stopwatch()
    for _ in range(count):
        time.sleep(random.uniform(0.02, 0.08))
        stamped(sent=time.time_ns())
    watch.report(count)


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]))
