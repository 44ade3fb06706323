"""Azure Service Bus: cloudq beside the SDK's public methods and Boilermaker, on our emulator.

Each measurement is a process of its own, the emulator as well. Its time is part of every rate, and the same for all.
CPU is the client's, user and system.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from tests.benchmarks.environments import HERE, PEERS
from tests.benchmarks.extent import Extent, machine, parser
from tests.benchmarks.measure import folder, run
from tests.benchmarks.report import present, table

TASKS: Final = 5_000
SLOW_TASKS: Final = 500


class Side(NamedTuple):
    """A library: its module, the packages whose versions are printed, where it runs, and with how many tasks."""

    module: str
    packages: tuple[str, ...]
    python: Path = HERE
    tasks: int = TASKS


RAW: Final = "the SDK alone"
OURS: Final = "cloudq"
PEER: Final = "Boilermaker"
SIDES: Final = {
    RAW: Side("service_bus_sdk", ("azure-servicebus",)),
    OURS: Side("service_bus_cloudq", ("cloudq",)),
    PEER: Side("service_bus_boilermaker", ("boilermaker-servicebus", "azure-servicebus"), PEERS, SLOW_TASKS),
}
PHASES: Final = ("send", "work", "single")


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


def measured(side: Side, queue: str, extent: Extent) -> dict[str, float]:
    """The figures of one side, once, in a queue of its own."""
    os.environ["BENCH_QUEUE"] = queue
    figures: dict[str, float] = {}
    for phase in PHASES:
        with folder() as path:
            result = run(side.module, phase, extent.tasks(side.tasks), folder=path, python=side.python)
        figures |= {f"{phase} /s": result["per_second"], f"{phase} CPU s/1,000": result["cpu_per_1000"]}
    return figures


def main(extent: Extent) -> None:
    """Measures the sides in turn, several times, and prints the medians; ratios are those of one turn."""
    console = Console(width=150)
    console.print(f"[bold]Azure Service Bus[/], on the emulator; {machine()}; medians of {extent.repeats} in turn")
    sides = present(SIDES, console)
    runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    queues = [f"{side.module}-{turn}" for turn in range(extent.repeats) for side in sides.values()]
    with emulator(queues) as connection:
        os.environ["CLOUDQ_SERVICEBUS_CONNECTION_STRING"] = connection
        for turn in range(extent.repeats):
            for name, side in sides.items():
                runs[name].append(measured(side, f"{side.module}-{turn}", extent))
    ratios = {f"{name} / SDK": (name, RAW) for name in sides if name != RAW}
    console.print(table(runs, ratios))
    console.print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(Extent.asked(parser(__doc__).parse_args()))
