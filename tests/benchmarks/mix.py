"""A worker on SQS at a round trip of 8 ms and of none, beside loops over boto3; how long tasks wait for each other.

Rates: ten threads beside eight loops at 8 ms, and beside one loop at none; tasks that do nothing, from start to end.
The mix: a hundred tasks become visible at once to a worker that idles, the tenth of which takes 100 ms; how long after
that moment they start. Beside another revision: `make bench-diff`.
"""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median
from typing import Final

from rich.console import Console

from localstack.start import CREDENTIALS
from tests.benchmarks.extent import Extent, machine, parser
from tests.benchmarks.figures import ratio, shown
from tests.benchmarks.measure import ROOT, folder, run
from tests.benchmarks.stand_in.control import Control
from tests.benchmarks.stand_in.process import stand_in

ROUND_TRIP: Final = 8
"""Milliseconds."""
TASKS: Final = 10_000
ROUNDS: Final = 30


def rate(service: Control, module: str, phase: str, tasks: int, tree: Path = ROOT) -> float:
    """Tasks a second of one side, once; they are sent before."""
    os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=service.url, BENCH_QUEUE=f"rate-{module}")
    service.create(os.environ["BENCH_QUEUE"])
    with folder() as path:
        run(module, "send_many", tasks, folder=path, tree=tree)
        return run(module, phase, tasks, folder=path, tree=tree)["per_second"]


def delays(service: Control, rounds: int, tree: Path = ROOT) -> dict[str, float]:
    """The start delays of the mix, once."""
    os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=service.url, BENCH_QUEUE="mix")
    service.create("mix")
    with folder() as path:
        return run("mix_cloudq", "mix", rounds, folder=path, tree=tree)


def main(extent: Extent) -> None:
    """Measures in turn, several times, and prints the medians."""
    console = Console(width=150)
    console.print(f"[bold]SQS, rates and waits[/]; {machine()}; medians of {extent.repeats} in turn")
    tasks, rounds = extent.tasks(TASKS), max(3, ROUNDS // extent.divisor)
    for delay, loops, phase in ((ROUND_TRIP, "eight loops", "loops"), (0, "one loop", "work")):
        ours, theirs, waits = [], [], []
        with stand_in(delay) as service:
            for _ in range(extent.repeats):
                theirs.append(rate(service, "sqs_raw", phase, tasks))
                ours.append(rate(service, "sqs_cloudq", "work", tasks))
                waits.append(delays(service, rounds))
        console.print(
            f"  {delay} ms a round trip: {shown(median(ours))} tasks a second with ten threads, "
            f"{ratio(ours, theirs):.2f} x those of {loops} over boto3 ({shown(median(theirs))})"
        )
        spread = ", ".join(f"{what[:-3]} {median(one[what] for one in waits):.1f} ms" for what in waits[0])
        console.print(f"    a task of 100 ms behind 9 short ones and in front of 90: they start after {spread}")
    console.print(f"  load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(Extent.asked(parser(__doc__).parse_args()))
