"""What the sides of the stores' benchmark have in common: the work, and how it is timed. Needs nothing of theirs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

from tests.benchmarks.measure import Stopwatch

TABLE: Final = "claims"
REGION: Final = "eu-west-1"
URL: Final = os.environ.get("BENCH_STORE", "memory://")
"""The store's, or the endpoint of DynamoDB's stand-in."""
_WARM: Final = 20


def main(prepared: Callable[[], Callable[[int], object]]) -> None:
    """Runs a side: some tasks that aren't timed, so that connections are open, and then as many as its argument says.

    Args:
        prepared: Opens what is needed, and returns what claims and completes the key of that number.
    """
    tasks = int(sys.argv[1])
    once = prepared()
    for number in range(_WARM):
        once(-1 - number)
    print("ready", flush=True)
    sys.stdin.readline()
    watch = Stopwatch()
    for number in range(tasks):
        once(number)
    watch.report(tasks)
