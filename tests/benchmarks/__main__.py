"""`make bench`: cloudq on SQLite beside Huey on its SQLite storage, in one run, each measurement in its own process."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib.metadata import version

from rich.console import Console
from rich.table import Table

import cloudq
from tests.benchmarks.measure import child, folder, ready, result, run

TASKS = int(os.environ.get("BENCH_TASKS", "5000"))
LATENCY_TASKS = int(os.environ.get("BENCH_LATENCY_TASKS", "200"))
REPEATS = int(os.environ.get("BENCH_REPEATS", "3"))

SIDES = {
    "cloudq, synchronous=full": ("cloudq_side", "full", "0"),
    "Huey, default (synchronous=full)": ("huey_side", "full", "0"),
    "cloudq, synchronous=normal": ("cloudq_side", "normal", "0"),
    "Huey, fsync=False (synchronous=off), fastest polling": ("huey_side", "normal", "1"),
}


def measured(side: str) -> dict[str, float]:
    """All figures of one side, once."""
    module, synchronous, fastest = SIDES[side]
    os.environ.update(BENCH_SYNCHRONOUS=synchronous, BENCH_FASTEST=fastest)
    figures: dict[str, float] = {}
    batched = module == "cloudq_side"
    with folder() as path:
        sent = run(module, "send_many" if batched else "send", TASKS, folder=path)
        worked = run(module, "work", TASKS, folder=path)
        # The best way to send many, then all of them worked.
        figures["end to end /s"] = TASKS / (sent["wall"] + worked["wall"])
        figures["no-op tasks /s"] = worked["per_second"]
        figures["worker CPU s/1,000"] = worked["cpu_per_1000"]
        figures["worker RSS MB"] = worked["rss_mb"]
        if batched:
            figures["send_many /s"] = sent["per_second"]
            figures["send_many CPU s/1,000"] = sent["cpu_per_1000"]
    with folder() as path:
        single = run(module, "send", TASKS, folder=path)
        figures["send /s, 1 thread"] = single["per_second"]
        figures["send CPU s/1,000"] = single["cpu_per_1000"]
    with folder() as path:
        figures["send /s, 16 threads"] = run(module, "threads", TASKS, folder=path)["per_second"]
    with folder() as path:
        worker = child(module, "idle", 5, folder=path)
        ready(worker)
        run(module, "spaced", LATENCY_TASKS, folder=path)
        latency = result(worker)
        if latency["count"] != LATENCY_TASKS:
            raise RuntimeError(f"{side}: {latency['count']} of {LATENCY_TASKS} tasks ran")
        figures["idle to start, p50 ms"] = latency["p50_ms"]
        figures["idle to start, p95 ms"] = latency["p95_ms"]
        figures["idle worker CPU %"] = latency["idle_percent"]
    return figures


def main() -> None:
    """Measures the sides in turn, several times, and prints the medians."""
    console = Console(width=170)
    console.print(
        f"cloudq {cloudq.__version__}, Huey {version('huey')}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores; {TASKS} tasks of 200 bytes, "
        f"10 worker threads, medians of {REPEATS} runs, sides in turn"
    )
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(REPEATS):
        for side in SIDES:
            runs[side].append(measured(side))
    table = Table("figure", *SIDES, "full: cloudq / Huey")
    for figure in runs[next(iter(SIDES))][0]:
        medians = [
            sorted(one[figure] for one in runs[side])[REPEATS // 2] if figure in runs[side][0] else None
            for side in SIDES
        ]
        ours, theirs = medians[0], medians[1]
        ratio = f"{ours / theirs:.2f}" if ours is not None and theirs else ""
        table.add_row(
            figure,
            *("" if median is None else f"{median:,.3g}" if median < 100 else f"{median:,.0f}" for median in medians),
            ratio,
        )
    console.print(table)


if __name__ == "__main__":
    main()
