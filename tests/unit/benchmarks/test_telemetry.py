"""What telemetry costs, in instructions, which don't drift with the machine's load."""

from __future__ import annotations

import shutil

import pytest

from tests.benchmarks.telemetry import counted

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)  # valgrind takes fifty times as long, and the machine may be busy
def test_telemetry_costs_little_more_than_its_spans_and_measurements() -> None:
    """What it adds to a send and a run is at most 1.3 times what these cost through the bare SDK."""
    if shutil.which("valgrind") is None:
        pytest.skip("there is no valgrind, which counts instructions")
    added, bare = counted("on", 100) - counted("off", 100), counted("bare", 100)
    assert 0.5 * bare < added <= 1.3 * bare
