"""What telemetry costs, in instructions a task.

    python -m tests.benchmarks.telemetry [REVISION]

The bound is 1.3: what it adds to a send and a run, over what the same spans and measurements cost through the bare SDK.
Without it, beside a revision from before it was there, 1.02.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.counting import instructions
from tests.benchmarks.measure import ROOT, environment, folder
from tests.benchmarks.revisions import checkout

TASKS = 300


def counted(phase: str, tasks: int = TASKS, *, tree: Path = ROOT, module: str = "telemetry_cloudq") -> float:
    """Instructions a task."""
    with folder() as place:
        command = [sys.executable, "-m", f"tests.benchmarks.{module}", phase, str(tasks)]
        return instructions(command, place, environment(place, tree)) / tasks


def main(revision: str | None) -> None:
    """Prints the figures."""
    off, on, bare = counted("off"), counted("on"), counted("bare")
    print(f"a send and a run in memory   {off:12,.0f} instructions a task, by callgrind")
    print(f"with telemetry               {on:12,.0f}: {on - off:,.0f} more")
    print(f"its spans and measurements   {bare:12,.0f} by the bare SDK: {(on - off) / bare:.2f}x (at most 1.3x)")
    if revision is not None:
        with checkout(revision) as tree:
            here, before = (counted("work", tree=place, module="memory_cloudq") for place in (ROOT, tree))
        print(f"without telemetry            {here:12,.0f} ({before:,.0f} at {revision}): {here / before:.3f}x")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
