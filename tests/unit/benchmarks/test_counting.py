"""Counting instructions: what callgrind prints is read, and what has no count says why."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.benchmarks.counting import Uncounted, collected, instructions
from tests.benchmarks.measure import environment

PRINTED = """==77== Callgrind, a call-graph generating cache profiler
==77== For interactive control, run 'callgrind_control -h'.
==77==
==77== Events    : Ir
==77== Collected : 332911749
==77==
==77== I   refs:      332,911,749
"""


def test_the_count_is_what_callgrind_collected() -> None:
    """One number, in instructions."""
    assert 332_911_749 == collected(PRINTED)


def test_what_has_no_count_is_shown() -> None:
    """With what was printed instead."""
    with pytest.raises(Uncounted, match="cannot open"):
        collected("valgrind: cannot open")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind here")
def test_only_what_the_stopwatch_sees_is_counted(tmp_path: Path) -> None:
    """Ten times the work between its start and its report takes about ten times the instructions."""
    program = """
import sys
from tests.benchmarks.measure import Stopwatch
watch = Stopwatch()
sum(n for n in range(int(sys.argv[1])))
watch.report(1)
"""
    counts = [
        instructions([sys.executable, "-c", program, str(number)], tmp_path, environment(tmp_path))
        for number in (100_000, 1_000_000)
    ]
    assert 8 < counts[1] / counts[0] < 11
    with pytest.raises(Uncounted, match="ended"):
        instructions([sys.executable, "-c", "raise SystemExit(1)"], tmp_path, environment(tmp_path))
