"""Runs one side of a benchmark as a process of its own, so that CPU and memory are its own too."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.environments import HERE
from tests.benchmarks.figures import percentile

__all__ = ["ROOT", "Stopwatch", "child", "folder", "percentile", "ready", "result", "run"]

ROOT = Path(__file__).resolve().parents[2]
STEPS = os.environ.get("BENCH_STEPS") == "1"
"""Whether a side waits for a line where its stopwatch starts and where it reports: what is between is counted."""


def child(module: str, *args: object, folder: Path, python: Path = HERE, tree: Path = ROOT) -> subprocess.Popen[str]:
    """Starts `python -m tests.benchmarks.MODULE ARGS`, which prints one JSON object.

    Args:
        module: The side's.
        args: Its arguments.
        folder: Where its files are.
        python: Its interpreter.
        tree: Where `cloudq` is; the benchmarks are always those of this tree.
    """
    return subprocess.Popen(
        [python, "-m", f"tests.benchmarks.{module}", *map(str, args)],
        cwd=folder,
        env=environment(folder, tree),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen[str], timeout: float = 300) -> dict[str, float]:
    """What the child printed last."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        raise RuntimeError(f"{process.args!r} exited with {process.returncode}")
    figures: dict[str, float] = json.loads(output.strip().splitlines()[-1])
    return figures


def run(module: str, *args: object, folder: Path, python: Path = HERE, tree: Path = ROOT) -> dict[str, float]:
    """Starts a child and waits for its figures."""
    return result(child(module, *args, folder=folder, python=python, tree=tree))


def environment(folder: Path, tree: Path = ROOT) -> dict[str, str]:
    """A child's: `cloudq` from `tree`, modules compiled as they are where people have installed them."""
    kept = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, dict.fromkeys((tree, ROOT)))), "BENCH_FOLDER": str(folder)}


def ready(process: subprocess.Popen[str]) -> None:
    """Waits for the child's line `ready`."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if line != "ready":
        raise RuntimeError(f"{process.args!r} said {line!r} instead of ready")


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for one measurement's files."""
    with tempfile.TemporaryDirectory(prefix="cloudq-bench-") as path:
        yield Path(path)


class Stopwatch:
    """Wall time and the process's own CPU time since it was made."""

    def __init__(self) -> None:
        if STEPS:
            print("start", flush=True)
            sys.stdin.readline()
        self._wall = time.perf_counter()
        self._cpu = time.process_time()
        self._over: float | None = None

    def over(self) -> None:
        """The last task ran: what follows counts as CPU, not as wall time."""
        self._over = time.perf_counter()

    def report(self, tasks: int, **more: float) -> None:
        """Prints the figures as the child's result."""
        wall = (self._over or time.perf_counter()) - self._wall
        cpu = time.process_time() - self._cpu
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures = {"wall": wall, "cpu": cpu, "per_second": tasks / wall, "cpu_per_1000": cpu / tasks * 1000}
        print(json.dumps({**figures, "rss_mb": peak_mb, **more}), flush=True)
        if STEPS:
            sys.stdin.readline()
