"""SQLite: cloudq beside Huey on its SQLite storage and Dramatiq with dramatiq-sqlite, with the same durability.

Each measurement is a process of its own, in a database of its own; the sides in turn. With an fsync a commit: cloudq's
default and Huey's (synchronous=full). Without: what a power cut may take back, a crash of the process not (cloudq's and
Dramatiq's synchronous=normal, with a write-ahead log; Huey's fsync=False, which is synchronous=off).
"""

from __future__ import annotations

import os
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from tests.benchmarks.environments import HERE, PEERS
from tests.benchmarks.extent import Extent, machine, parser
from tests.benchmarks.measure import child, folder, ready, result, run
from tests.benchmarks.report import present, table

TASKS: Final = 5_000
SLOW_TASKS: Final = 500
LATENCY_TASKS: Final = 200


class Side(NamedTuple):
    """A library with its settings.

    Attributes:
        module: Of its programs.
        packages: What of it has versions worth printing.
        fsync: Whether each commit is on the disk.
        python: The environment it runs in.
        tasks: How many it is given.
    """

    module: str
    packages: tuple[str, ...]
    fsync: bool
    python: Path = HERE
    tasks: int = TASKS


# Each of ours is compared with Huey's of the same durability.
SIDES: Final = {
    "cloudq, fsync": Side("sqlite_cloudq", ("cloudq",), fsync=True),
    "Huey, fsync": Side("sqlite_huey", ("huey",), fsync=True),
    "cloudq, none": Side("sqlite_cloudq", ("cloudq",), fsync=False),
    "Huey, none": Side("sqlite_huey", ("huey",), fsync=False),
    "Dramatiq, none": Side("sqlite_dramatiq", ("dramatiq", "dramatiq-sqlite"), False, PEERS, SLOW_TASKS),
}
PAIRS: Final = {"fsync": ("cloudq, fsync", "Huey, fsync"), "none": ("cloudq, none", "Huey, none")}


def measured(side: Side, extent: Extent, *, rates_only: bool) -> dict[str, float]:
    """All figures of one side, once."""
    os.environ["BENCH_SYNCHRONOUS"] = "full" if side.fsync else "normal"
    figures: dict[str, float] = {}
    tasks = extent.tasks(side.tasks)

    def ran(phase: str, path: Path) -> dict[str, float]:
        return run(side.module, phase, tasks, folder=path, python=side.python)

    batched = side.module == "sqlite_cloudq"
    with folder() as path:
        sent = ran("send_many" if batched else "send", path)
        worked = ran("work", path)
        # The best way to send many, then all of them worked.
        figures["end to end /s"] = tasks / (sent["wall"] + worked["wall"])
        figures["worker /s"] = worked["per_second"]
        figures["worker CPU s/1,000"] = worked["cpu_per_1000"]
        figures["worker RSS MB"] = worked["rss_mb"]
    with folder() as path:
        single = ran("send", path)
        figures["send /s, 1 thread"] = single["per_second"]
        figures["send CPU s/1,000"] = single["cpu_per_1000"]
    with folder() as path:
        figures["send /s, 16 threads"] = ran("threads", path)["per_second"]
    if batched:
        figures["send_many /s"] = sent["per_second"]
        figures["send_many CPU s/1,000"] = sent["cpu_per_1000"]
    if side.python == HERE and not rates_only:
        figures |= idle(side.module, extent.tasks(LATENCY_TASKS))
    return figures


def idle(module: str, tasks: int) -> dict[str, float]:
    """What an idle worker takes, and how soon it starts tasks that come at random moments."""
    with folder() as path:
        worker = child(module, "idle", 5, folder=path)
        ready(worker)
        run(module, "spaced", tasks, folder=path)
        latency = result(worker)
    if latency["count"] != tasks:
        raise RuntimeError(f"{module}: {latency['count']} of {tasks} tasks ran")
    return {
        "idle to start, p50 ms": latency["p50_ms"],
        "idle to start, p95 ms": latency["p95_ms"],
        "idle worker CPU %": latency["idle_percent"],
    }


def main(extent: Extent, *, rates_only: bool = False) -> None:
    """Measures the sides in turn, several times, and prints the medians.

    Args:
        extent: How much.
        rates_only: Not what an idle worker does, which takes most of the time.
    """
    console = Console(width=150)
    console.print(f"[bold]SQLite[/] {sqlite3.sqlite_version}; {machine()}; medians of {extent.repeats} in turn")
    sides = present(SIDES, console)
    runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(extent.repeats):
        for name, side in sides.items():
            runs[name].append(measured(side, extent, rates_only=rates_only))
    console.print(table(runs, {f"{kind}: cloudq / Huey": pair for kind, pair in PAIRS.items()}))
    console.print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    command = parser(__doc__)
    command.add_argument(
        "--rates", action="store_true", help="not what an idle worker does, which takes a minute a turn"
    )
    asked = command.parse_args()
    main(Extent.asked(asked), rates_only=asked.rates)
