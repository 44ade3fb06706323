"""`make bench`, its part on Azure Service Bus: cloudq beside the SDK's public methods, on our emulator.

Each measurement is a process of its own, the emulator as well. Its time is part of every figure, and the same for both.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from rich.console import Console
from rich.table import Table

import cloudq
from tests.benchmarks.measure import folder, run

TASKS = int(os.environ.get("BENCH_SERVICE_BUS_TASKS", "5000"))
REPEATS = int(os.environ.get("BENCH_REPEATS", "3"))
SIDES = {"azure-servicebus alone": "service_bus_sdk", "cloudq": "service_bus_cloudq"}
RAW, OURS = SIDES
PHASES = ("send", "work")


@contextmanager
def emulator(queues: list[str]) -> Iterator[str]:
    """The emulator with these queues, as a process; its connection string."""
    named = [argument for name in queues for argument in ("--queue", name)]
    ports = ("--port", "0", "--admin-port", "0")
    process = subprocess.Popen(
        [sys.executable, "-m", "cloudq", "emulate", "servicebus", *ports, *named],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search("CONNECTION_STRING='(.*)'", process.stdout.readline())
        if found is None:
            raise RuntimeError("the emulator didn't start")
        yield found.group(1)
    finally:
        process.terminate()
        process.wait()


def measured(module: str, queue: str) -> dict[str, float]:
    """The figures of one side, once, in a queue of its own."""
    os.environ["BENCH_QUEUE"] = queue
    figures: dict[str, float] = {}
    for phase in PHASES:
        with folder() as path:
            result = run(module, phase, TASKS, folder=path)
        figures |= {f"{phase} /s": result["per_second"], f"{phase} CPU s/1,000": result["cpu_per_1000"]}
    return figures


def main() -> None:
    """Measures the sides in turn, several times, and prints the medians; ratios are those of one turn."""
    console = Console(width=120)
    console.print(
        f"cloudq {cloudq.__version__}, azure-servicebus {version('azure-servicebus')}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {TASKS:,} no-op tasks of "
        f"200 bytes, medians of {REPEATS} runs, on the emulator"
    )
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    queues = [f"{module}-{turn}" for turn in range(REPEATS) for module in SIDES.values()]
    with emulator(queues) as connection:
        os.environ["CLOUDQ_SERVICEBUS_CONNECTION_STRING"] = connection
        for turn in range(REPEATS):
            for side, module in SIDES.items():
                runs[side].append(measured(module, f"{module}-{turn}"))
    table = Table("figure", *SIDES, "cloudq / SDK")
    for figure in runs[OURS][0]:
        ratio = statistics.median(ours[figure] / raw[figure] for ours, raw in zip(runs[OURS], runs[RAW], strict=True))
        medians = (statistics.median(one[figure] for one in runs[side]) for side in SIDES)
        cells = (f"{median:,.3g}" if median < 100 else f"{median:,.0f}" for median in medians)
        table.add_row(figure, *cells, f"{ratio:.2f}")
    console.print(table)
    each = {side: ", ".join(f"{one['work /s']:,.0f}" for one in runs[side]) for side in SIDES}
    console.print(f"work /s, each run: {each}; load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
