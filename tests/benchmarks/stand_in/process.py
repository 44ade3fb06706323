"""The stand-in in a process of its own, so that its CPU isn't its clients'."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.measure import ROOT
from tests.benchmarks.stand_in.control import Control


@contextmanager
def stand_in(delay: float = 0) -> Iterator[Control]:
    """Starts it, and ends it.

    Args:
        delay: For how many milliseconds each answer is held back.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.stand_in", "--delay", str(delay)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield Control(int(process.stdout.readline()))
        finally:
            process.terminate()
