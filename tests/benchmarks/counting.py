"""How many instructions the measured part of a side takes, in all its threads and outside the kernel, by callgrind.

Hardware counters would be faster, but virtual machines mostly have none, and what they count is another number.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_COLLECTED: Final = re.compile(r"^==\d+== Collected : (\d+)", re.MULTILINE)
PATIENCE: Final = 600
"""Seconds for one program: fifty times slower than without, and other programs may be running."""


class Uncounted(Exception):
    """There is no count; says why."""


def collected(printed: str) -> int:
    """The instructions that callgrind says it collected.

    Raises:
        Uncounted: It says none.
    """
    if (found := _COLLECTED.search(printed)) is None:
        raise Uncounted(f"callgrind printed no count: {printed[-2000:]}")
    return int(found[1])


def instructions(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> int:
    """Runs a side and counts the instructions between its stopwatch's start and report.

    Args:
        command: The program, with its arguments.
        folder: Where it runs.
        environment: Its environment; the order of its sets is made the same each time.

    Raises:
        Uncounted: They couldn't be counted.
    """
    if shutil.which("valgrind") is None:
        raise Uncounted("there is no valgrind on this machine: its package is called so")
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--instr-atstart=no"]
    with subprocess.Popen(
        [*tool, *command],
        cwd=folder,
        env={**environment, "PYTHONHASHSEED": "0", "BENCH_STEPS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            for state in ("on", "off"):
                _wait(process)
                subprocess.run(
                    ["callgrind_control", "--instr=" + state, str(process.pid)], check=True, capture_output=True
                )
                _go_on(process)
            _, printed = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return collected(printed)


def _wait(process: subprocess.Popen[str]) -> None:
    """Waits for the next line: it stands where its stopwatch starts, or reports."""
    assert process.stdout is not None
    assert process.stderr is not None
    if not process.stdout.readline():
        raise Uncounted(f"{process.args!r} ended: {process.stderr.read()[-2000:]}")


def _go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
