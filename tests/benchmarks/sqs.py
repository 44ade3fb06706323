"""SQS: client CPU, calls and tasks a second, beside loops over boto3 and over Amazon's new SDK, and other task queues.

Everything runs against a fast stand-in in a process of its own (`tests.benchmarks.stand_in`), each measurement in a
process of its own, the sides in turn. The ratio is that to a loop over boto3 of the same shape (ten a call, one a call,
sixteen threads of one a call) in the same turn and the same environment. CPU is the client's, user and system.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from localstack.start import CREDENTIALS
from tests.benchmarks.environments import HERE, NEWER, PEERS
from tests.benchmarks.extent import Extent, machine, parser
from tests.benchmarks.figures import ratio, shown
from tests.benchmarks.measure import folder, run
from tests.benchmarks.report import present
from tests.benchmarks.stand_in.control import Control
from tests.benchmarks.stand_in.process import stand_in

# For how many tasks each phase is measured: a message alone costs ten times as much as one of ten.
TASKS: Final = {"send_many": 10_000, "work": 10_000, "send": 2_000, "threads": 2_000}
PEER_TASKS: Final = 1_000
_OWN: Final = ("send_many", "work", "send", "threads")


class Side(NamedTuple):
    """A library with its settings.

    Attributes:
        module: Of its programs.
        packages: What of it has versions worth printing.
        python: The environment it runs in.
        settings: Which, where it has several.
        phases: What it can do, in order: `work` works off what the phase before it sent.
    """

    module: str
    packages: tuple[str, ...]
    python: Path
    settings: str = "recommended"
    phases: tuple[str, ...] = ("send", "work")

    def tasks(self, phase: str) -> int:
        """How many it is given."""
        return TASKS[phase] if self.module in {"sqs_raw", "sqs_cloudq", "sqs_aws_sdk"} else PEER_TASKS


RAW: Final = "boto3 alone"
OURS: Final = "cloudq"
_BATCHED: Final = ("send_many", "work")
_DJANGO: Final = ("django-tasks-sqs", "django")
SIDES: Final = {
    OURS: Side("sqs_cloudq", ("cloudq",), HERE, phases=_OWN),
    "aws-sdk-sqs alone": Side("sqs_aws_sdk", ("aws-sdk-sqs",), NEWER, phases=("send_many", "work", "send")),
    "Celery": Side("sqs_celery", ("celery", "kombu"), PEERS),
    "Celery, fastest": Side("sqs_celery", ("celery", "kombu"), PEERS, "fastest"),
    "Dramatiq": Side("sqs_dramatiq", ("dramatiq", "dramatiq-sqs"), PEERS),
    "Dramatiq, fastest": Side("sqs_dramatiq", ("dramatiq", "dramatiq-sqs"), PEERS, "fastest"),
    "taskiq-aio-sqs": Side("sqs_taskiq", ("taskiq", "taskiq-aio-sqs"), PEERS),
    "taskiq-aio-sqs, fastest": Side("sqs_taskiq", ("taskiq", "taskiq-aio-sqs"), PEERS, "fastest", _BATCHED),
    "taskiq-sqs": Side("sqs_taskiq_sqs", ("taskiq", "taskiq-sqs"), PEERS),
    "taskiq-sqs, fastest": Side("sqs_taskiq_sqs", ("taskiq", "taskiq-sqs"), PEERS, "fastest", _BATCHED),
    "django-tasks-sqs": Side("sqs_django", _DJANGO, NEWER, phases=("send", "send_many", "work")),
    "django-tasks-sqs, fastest": Side("sqs_django", _DJANGO, NEWER, "fastest", _BATCHED),
}


class Measured(NamedTuple):
    """One phase of a side, once.

    Attributes:
        cpu: Seconds for 1,000 tasks.
        calls: For each task.
        rate: Tasks a second.
    """

    cpu: float
    calls: float
    rate: float


class Bench:
    """Runs phases against a stand-in, each in a queue of its own, but for `work` in that of the phase before it."""

    def __init__(self, service: Control, extent: Extent) -> None:
        self._service = service
        self._extent = extent
        self._number = 0
        os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=service.url)

    def measured(self, side: Side) -> dict[str, Measured]:
        """A side, once."""
        os.environ["BENCH_SETTINGS"] = side.settings
        return {phase: self._phase(side, phase) for phase in side.phases}

    def _phase(self, side: Side, phase: str) -> Measured:
        if phase != "work":
            self._number += 1
            os.environ["BENCH_QUEUE"] = f"bench-{self._number}"
            self._service.create(os.environ["BENCH_QUEUE"])
        tasks = self._extent.tasks(side.tasks(phase))
        self._service.calls()
        with folder() as path:
            if phase == "work":
                tasks = self._service.left(os.environ["BENCH_QUEUE"])
            figures = run(side.module, phase, tasks, folder=path, python=side.python)
        if phase == "work" and (left := self._service.left(os.environ["BENCH_QUEUE"])):
            raise RuntimeError(f"{side.module} left {left} of {tasks} messages")
        return Measured(figures["cpu_per_1000"], self._service.calls() / tasks, figures["per_second"])


def main(extent: Extent, only: str = "") -> None:
    """Measures the sides in turn, several times, and prints the medians.

    Args:
        extent: How much.
        only: Only sides whose name has this in it, beside boto3.
    """
    console = Console(width=150)
    console.print(
        f"[bold]SQS[/], on a stand-in in a process of its own; {machine()}; medians of {extent.repeats} in turn"
    )
    chosen = {name: side for name, side in SIDES.items() if only in name}
    sides = present({RAW: Side("sqs_raw", ("boto3", "botocore"), HERE, phases=_OWN), **chosen}, console)
    raws = {
        python: Side("sqs_raw", ("boto3",), python, phases=_OWN) for python in {one.python for one in sides.values()}
    }
    runs: dict[str, list[dict[str, Measured]]] = defaultdict(list)
    floors: dict[Path, list[dict[str, Measured]]] = defaultdict(list)
    with stand_in() as service:
        bench = Bench(service, extent)
        for _ in range(extent.repeats):
            for python, raw in raws.items():
                floors[python].append(bench.measured(raw))
                for name, side in list(sides.items()):
                    if side.python != python or name == RAW:
                        continue
                    try:
                        runs[name].append(bench.measured(side))
                    except RuntimeError as error:
                        if name == OURS:
                            raise
                        console.print(f"  not measured: {name}: {error}")
                        del sides[name]
    runs[RAW] = floors[HERE]
    console.print(_table(sides, runs, floors))
    console.print(f"load at the end {os.getloadavg()[0]:.1f}")


def _table(
    sides: dict[str, Side],
    runs: dict[str, list[dict[str, Measured]]],
    floors: dict[Path, list[dict[str, Measured]]],
) -> Table:
    table = Table("", "phase", "CPU s/1,000", "x boto3", "calls a task", "tasks/s", "x boto3")
    for name, side in sides.items():
        for phase in side.phases:
            own, floor = ([turn[phase] for turn in turns] for turns in (runs[name], floors[side.python]))
            table.add_row(
                name,
                phase,
                shown(median(one.cpu for one in own)),
                f"{ratio([one.cpu for one in own], [one.cpu for one in floor]):.2f}",
                f"{median(one.calls for one in own):.3f}",
                shown(median(one.rate for one in own)),
                f"{ratio([one.rate for one in own], [one.rate for one in floor]):.2f}",
            )
        table.add_section()
    return table


if __name__ == "__main__":
    command = parser(__doc__)
    command.add_argument("--only", default="", help="only sides whose name has this in it, beside boto3")
    asked = command.parse_args()
    main(Extent.asked(asked), asked.only)
