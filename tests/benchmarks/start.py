"""How soon a worker on SQS starts its first task, counted from its process's start, and what it takes when it idles.

`cloudq worker` from the command line, beside a program of a loop over boto3, in turn. A message waits for each; the
stand-in is a process of its own. Memory is what is resident a second after the first task ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from localstack.start import CREDENTIALS
from tests.benchmarks.extent import Extent, machine, parser
from tests.benchmarks.measure import ROOT, environment, folder, run
from tests.benchmarks.report import table
from tests.benchmarks.stand_in.control import Control
from tests.benchmarks.stand_in.process import stand_in

SETTLED: Final = 1.0
"""Seconds after the first task until a process is taken to idle."""
SIDES: Final = {
    "boto3 alone": ("sqs_raw", [sys.executable, "-m", "tests.benchmarks.sqs_first"]),
    "cloudq worker": (
        "sqs_cloudq",
        [sys.executable, "-m", "cloudq", "worker", "--app", "tests.benchmarks.start_app:app"],
    ),
}
RAW, OURS = SIDES


def measured(side: str, service: Control, tree: Path = ROOT) -> dict[str, float]:
    """One side, once."""
    module, command = SIDES[side]
    os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=service.url, BENCH_QUEUE=f"start-{module}")
    service.create(os.environ["BENCH_QUEUE"])
    with folder() as path:
        run(module, "send", 1, folder=path, tree=tree)
        began = time.monotonic()
        with subprocess.Popen(
            command, cwd=path, env=environment(path, tree), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                assert process.stdout is not None
                while not (line := process.stdout.readline()).startswith("ran "):
                    if not line:
                        raise RuntimeError(f"{side} ended without a task")
                first = float(line.split()[1]) - began
                time.sleep(SETTLED)
                return {
                    "first task after, s": first,
                    "CPU by then, s": cpu(process.pid),
                    "idle RSS, MB": rss(process.pid),
                }
            finally:
                process.kill()


def rss(process: int) -> float:
    """The resident memory of a process, in MB (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu(process: int) -> float:
    """The user and system time of a process so far, in seconds (Linux)."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def main(extent: Extent) -> None:
    """Measures in turn, several times, and prints the medians. The first turn compiles the modules."""
    console = Console(width=150)
    console.print(f"[bold]SQS, start[/]; {machine()}; medians of {extent.repeats} in turn")
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with stand_in() as service:
        for number in range(-1, extent.repeats):
            for side, turns in runs.items():
                figures = measured(side, service)
                if number >= 0:
                    turns.append(figures)
    console.print(table(runs, {"cloudq / boto3": (OURS, RAW)}))
    console.print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(Extent.asked(parser(__doc__).parse_args()))
