"""What the sides of the SQS benchmark share: their queue, the work, and how they report."""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from tests.benchmarks.measure import Stopwatch

REGION: Final = "us-east-1"
QUEUE: Final = os.environ.get("BENCH_QUEUE", "default")
"""The queue of this side's measurement, made for it and empty."""
ENDPOINT: Final = os.environ.get("AWS_ENDPOINT_URL", "")
ACCOUNT: Final = "000000000000"
QUEUE_URL: Final = f"{ENDPOINT}/{ACCOUNT}/{QUEUE}"
FASTEST: Final = os.environ.get("BENCH_SETTINGS") == "fastest"
"""Whether the side is to use its fastest settings, rather than those that its documentation recommends."""
PAYLOAD: Final = {"text": "x" * 180}
THREADS: Final = 16
"""How many send at the same time, where several do."""
LOOPS: Final = 8
"""How many loops over boto3 run side by side, where several do."""


class Countdown:
    """Counts the tasks that ran, each in whichever thread: `list.append` is atomic, `+=` isn't."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._ran: list[None] = []

    def ran(self) -> None:
        """One task ran."""
        self._ran.append(None)

    @property
    def over(self) -> bool:
        """Whether all have."""
        return len(self._ran) >= self.count

    def wait(self, patience: float = 240) -> None:
        """Waits in real time until all have."""
        end = time.monotonic() + patience
        while not self.over:
            if time.monotonic() > end:
                raise RuntimeError(f"{len(self._ran)} of {self.count} tasks ran within {patience} s")
            time.sleep(0.01)


def in_threads(count: int, work: Callable[[], object]) -> None:
    """Does `work` `count` times, by sixteen threads."""
    each = [count // THREADS + (number < count % THREADS) for number in range(THREADS)]
    workers = [threading.Thread(target=lambda times: [work() for _ in range(times)], args=[times]) for times in each]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def timed(count: int, work: Callable[[], object]) -> None:
    """Does the work, and prints what it took as this side's figures."""
    watch = Stopwatch()
    work()
    watch.report(count)


def timed_until(countdown: Countdown, start: Callable[[], object], stop: Callable[[], object]) -> None:
    """Starts a worker, waits until all ran, stops it, and prints what that took: the rate is without the stopping."""
    watch = Stopwatch()
    start()
    countdown.wait()
    watch.over()
    stop()
    watch.report(countdown.count)


def main(phases: Mapping[str, Callable[[int], None]]) -> None:
    """Runs the phase that the command line names, for as many tasks as it says."""
    parser = argparse.ArgumentParser(description="A side of the SQS benchmark, in BENCH_QUEUE at AWS_ENDPOINT_URL.")
    parser.add_argument("phase", choices=list(phases))
    parser.add_argument("count", type=int, help="for how many tasks")
    asked = parser.parse_args()
    phases[asked.phase](asked.count)
