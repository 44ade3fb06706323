"""Where the Service Bus benchmark's messages are, for its children; the parent says it in the environment."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable

CONNECTION = os.environ.get("CLOUDQ_SERVICEBUS_CONNECTION_STRING", "")
QUEUE = os.environ.get("BENCH_QUEUE", "bench")
PAYLOAD = {"text": "x" * 200}


class Timer:
    """Wall and CPU time from the first task to the last settlement: opening a link isn't part of a rate."""

    def __init__(self) -> None:
        self.began = 0.0
        self._cpu = 0.0

    def start(self) -> None:
        """The first task is there."""
        if not self.began:
            self.began, self._cpu = time.perf_counter(), time.process_time()

    def report(self, tasks: int) -> None:
        """Prints the figures as the child's result."""
        wall, cpu = time.perf_counter() - self.began, time.process_time() - self._cpu
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures = {"per_second": tasks / wall, "cpu_per_1000": cpu / tasks * 1000, "wall": wall, "rss_mb": peak_mb}
        print(json.dumps(figures), flush=True)


def main(phases: dict[str, Callable[[int], None]]) -> None:
    """Runs the phase that the command line names, with its number of tasks."""
    phases[sys.argv[1]](int(sys.argv[2]))
