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

ROOT = Path(__file__).resolve().parents[2]


def child(module: str, *args: object, folder: Path) -> subprocess.Popen[str]:
    """Starts `python -m tests.benchmarks.MODULE ARGS` with its files in `folder`; it prints one JSON object."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BENCH_FOLDER": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, args)],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen[str], timeout: float = 300) -> dict[str, float]:
    """What the child printed last."""
    output, _ = process.communicate(timeout=timeout)
    if process.returncode:
        raise RuntimeError(f"{process.args} exited with {process.returncode}")
    figures: dict[str, float] = json.loads(output.strip().splitlines()[-1])
    return figures


def run(module: str, *args: object, folder: Path) -> dict[str, float]:
    """Starts a child and waits for its figures."""
    return result(child(module, *args, folder=folder))


def ready(process: subprocess.Popen[str]) -> None:
    """Waits for the child's line `ready`."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if line != "ready":
        raise RuntimeError(f"{process.args} said {line!r} instead of ready")


@contextmanager
def folder() -> Iterator[Path]:
    """A folder for one measurement's files."""
    with tempfile.TemporaryDirectory(prefix="cloudq-bench-") as path:
        yield Path(path)


class Stopwatch:
    """Wall time and the process's own CPU time since it was made."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def report(self, tasks: int, **more: float) -> None:
        """Prints the figures as the child's result."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures = {"wall": wall, "cpu": cpu, "per_second": tasks / wall, "cpu_per_1000": cpu / tasks * 1000}
        print(json.dumps({**figures, "rss_mb": peak_mb, **more}), flush=True)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
