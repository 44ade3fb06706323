"""`make bench-diff REV=...`: client CPU, calls and waits of this tree beside those of another revision.

Both are measured by this tree's benchmarks: on SQS (a stand-in in a process of its own) and SQLite, in turn, each phase
in a process of its own, so that a machine whose speed drifts slows both. The ratios are those of the pairs; what is
printed is their median. One turn before them isn't counted: it leaves the modules compiled, as they are where people
have installed them. Instructions, which don't drift: `tests.benchmarks.instructions`, which `make bench-diff` runs too.
"""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from localstack.start import CREDENTIALS
from tests.benchmarks.extent import Extent, machine, parser
from tests.benchmarks.figures import ratio
from tests.benchmarks.measure import ROOT, folder, run
from tests.benchmarks.mix import ROUND_TRIP, ROUNDS, delays
from tests.benchmarks.revisions import checkout
from tests.benchmarks.stand_in.control import Control
from tests.benchmarks.stand_in.process import stand_in


class Phase(NamedTuple):
    """One phase of a benchmark's side.

    Attributes:
        module: The side's.
        name: As the side calls it.
        tasks: For how many.
        fresh: Whether it begins with an empty queue; else it works off what the phase before it sent.
    """

    module: str
    name: str
    tasks: int
    fresh: bool = True


PHASES: Final = (
    Phase("sqs_cloudq", "send_many", 10_000),
    Phase("sqs_cloudq", "work", 10_000, fresh=False),
    Phase("sqs_cloudq", "send", 2_000),
    Phase("sqs_cloudq", "threads", 2_000),
    # Enough of them that what a worker does once at its start doesn't count.
    Phase("sqlite_cloudq", "send_many", 20_000),
    Phase("sqlite_cloudq", "work", 20_000, fresh=False),
    Phase("sqlite_cloudq", "send", 1_000),
    Phase("sqlite_cloudq", "threads", 1_000),
)


class Measured(NamedTuple):
    """A phase, once: CPU seconds for 1,000 tasks, calls a task (0 where there is no service), tasks a second."""

    cpu: float
    calls: float
    rate: float


class Bench:
    """Runs phases in one tree or the other."""

    def __init__(self, service: Control, extent: Extent) -> None:
        self._service = service
        self._extent = extent
        self._number = 0

    def measured(self, tree: Path) -> dict[Phase, Measured]:
        """All phases, once."""
        with folder() as path:
            return {phase: self._phase(phase, tree, path) for phase in PHASES}

    def _phase(self, phase: Phase, tree: Path, path: Path) -> Measured:
        if phase.fresh:
            self._number += 1
            self._service.create(f"bench-{self._number}")
        own = path / str(self._number)
        own.mkdir(exist_ok=True)
        os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=self._service.url, BENCH_QUEUE=f"bench-{own.name}")
        tasks = self._extent.tasks(phase.tasks)
        self._service.calls()
        figures = run(phase.module, phase.name, tasks, folder=own, tree=tree)
        return Measured(figures["cpu_per_1000"], self._service.calls() / tasks, figures["per_second"])


def main(revision: str, extent: Extent, *, waits_only: bool = False) -> None:
    """Measures both trees in turn, and prints the medians of the ratios.

    Args:
        revision: The other tree's.
        extent: How much.
        waits_only: Only how long tasks wait for each other.
    """
    print(f"this tree beside {revision}; {machine()}; medians of {extent.repeats} in turn")
    runs: dict[Path, list[dict[Phase, Measured]]] = defaultdict(list)
    waits: dict[Path, list[dict[str, float]]] = defaultdict(list)
    with (
        checkout(revision) as other,
        tempfile.TemporaryDirectory(prefix="cloudq-bench-") as compiled,
        stand_in() as service,
        stand_in(ROUND_TRIP) as slow,
    ):
        os.environ["PYTHONPYCACHEPREFIX"] = compiled
        bench = Bench(service, extent)
        for number in range(-1, extent.repeats):
            for tree in (other, ROOT):
                measured = {} if waits_only else bench.measured(tree)
                waited = {
                    f"{what[:-3]} at {delay} ms": figure
                    for delay, place in ((0, service), (ROUND_TRIP, slow))
                    for what, figure in delays(place, max(3, ROUNDS // extent.divisor), tree).items()
                }
                if number >= 0:
                    runs[tree].append(measured)
                    waits[tree].append(waited)
    for phase in runs[ROOT][0]:
        print(_line(phase, [one[phase] for one in runs[ROOT]], [one[phase] for one in runs[other]]))
    print("a task of 100 ms behind 9 short ones and in front of 90: when they start")
    print(_waits(waits[ROOT], waits[other]))
    print(f"load at the end {os.getloadavg()[0]:.1f}")


def _line(phase: Phase, ours: list[Measured], theirs: list[Measured]) -> str:
    backend = "SQS" if phase.module == "sqs_cloudq" else "SQLite"
    cpu = ratio([one.cpu for one in ours], [one.cpu for one in theirs])
    rate = ratio([one.rate for one in ours], [one.rate for one in theirs])
    line = f"{backend:7} {phase.name:10} CPU {cpu:.3f}x ({median(one.cpu for one in ours):.4f} s per 1,000), "
    line += f"rate {rate:.2f}x"
    if backend == "SQS":
        line += f", calls a task {median(one.calls for one in ours):.3f} ({median(one.calls for one in theirs):.3f})"
    return line


def _waits(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> str:
    return "\n".join(
        f"  {what}: {median(one[what] for one in ours):.1f} ms ({median(one[what] for one in theirs):.1f} ms before)"
        for what in ours[0]
    )


if __name__ == "__main__":
    command = parser(__doc__)
    command.add_argument("revision", help="a commit, branch or tag")
    command.add_argument("--waits", action="store_true", help="only how long tasks wait for each other")
    asked = command.parse_args()
    main(asked.revision, Extent.asked(asked), waits_only=asked.waits)
