"""What the sides of the SQS benchmark share: their queue, the work, and how they report."""

from __future__ import annotations

import os
import sys
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


def timed(count: int, work: Callable[[], object], **more: float) -> None:
    """Does the work, and prints what it took as this side's figures."""
    watch = Stopwatch()
    work()
    watch.report(count, **more)


def main(phases: Mapping[str, Callable[[int], None]]) -> None:
    """Runs the phase that the command line names, for as many tasks as it says."""
    phases[sys.argv[1]](int(sys.argv[2]))
