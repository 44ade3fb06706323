"""Django's tasks: cloudq beside django-tasks-sqs on SQS, and beside django-tasks-db on SQLite of the same durability.

One project, one task, one thread each, no interval between looks; each measurement in a process of its own, the sides
in turn, all in one environment. On SQS against a fast stand-in in a process of its own: calls and the client's CPU for
each task. On SQLite with a write-ahead log for both: tasks a second. django-tasks-db keeps results always,
django-tasks-sqs never.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console

from localstack.start import CREDENTIALS
from tests.benchmarks.environments import NEWER
from tests.benchmarks.extent import Extent, machine, parser
from tests.benchmarks.measure import folder, run
from tests.benchmarks.report import present, table
from tests.benchmarks.stand_in.control import Control
from tests.benchmarks.stand_in.process import stand_in

TASKS: Final = 1_000
SERVICES: Final = ("sqs", "sqlite")
DELAY_MS: Final = 8
"""As long as a call within a region takes: without it, what one thread ends during a call is no batch."""
_MODULE: Final = "django_program"
_DURABILITIES: Final = {2.0: "full", 1.0: "normal"}


class Side(NamedTuple):
    """A back end with its settings.

    Attributes:
        backend: Which.
        packages: What of it has versions worth printing.
        results: Whether results are kept.
        python: The environment it runs in.
    """

    backend: str
    packages: tuple[str, ...]
    results: bool = False
    python: Path = NEWER


OURS: Final = "cloudq"
KEPT: Final = "cloudq, results"
_OWN: Final = {
    OURS: Side("cloudq", ("django",)),
    KEPT: Side("cloudq", ("django",), results=True),
}
SQS: Final = {**_OWN, "django-tasks-sqs": Side("django-tasks-sqs", ("django-tasks-sqs", "django", "boto3"))}
SQLITE: Final = {**_OWN, "django-tasks-db": Side("django-tasks-db", ("django-tasks-db", "django"), results=True)}


def ran(side: Side, phase: str, tasks: int, path: Path) -> dict[str, float]:
    """One phase of a side."""
    os.environ.update(BENCH_BACKEND=side.backend, BENCH_RESULTS="on" if side.results else "off")
    return run(_MODULE, phase, tasks, folder=path, python=side.python)


def on_sqs(side: Side, tasks: int, service: Control, number: int) -> dict[str, float]:
    """Calls and CPU of a side, sent one by one and sent together."""
    figures: dict[str, float] = {}
    os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=service.url)
    for way, phase in (("enqueue", "send"), ("enqueue_many", "send_many")):
        os.environ["BENCH_QUEUE"] = queue = f"django-{number}-{phase.replace('_', '-')}"
        service.create(queue)
        with folder() as path:
            service.calls()
            sent = ran(side, phase, tasks, path)
            calls_sent = service.calls() / tasks
            worked = ran(side, "work", tasks, path)
            calls_worked = service.calls() / tasks
        if left := service.left(queue):
            raise RuntimeError(f"{side.backend} left {left} of {tasks} messages")
        figures[f"{way}: calls a task"] = calls_sent
        figures[f"{way}: CPU s/1,000"] = sent["cpu_per_1000"]
        figures["work: calls a task"] = calls_worked
        figures["work: CPU s/1,000"] = worked["cpu_per_1000"]
        figures[f"{way}, then work: calls a task"] = calls_sent + calls_worked
        figures[f"{way}, then work: CPU s/1,000"] = sent["cpu_per_1000"] + worked["cpu_per_1000"]
    return figures


def on_sqlite(side: Side, tasks: int, synchronous: str) -> dict[str, float]:
    """Tasks a second of a side.

    Raises:
        RuntimeError: The durability isn't the one that was asked for.
    """
    os.environ.pop("AWS_ENDPOINT_URL", None)
    os.environ.update(BENCH_QUEUE="default", BENCH_SYNCHRONOUS=synchronous)
    with folder() as path:
        sent, worked = (ran(side, phase, tasks, path) for phase in ("send", "work"))
    for phase in (sent, worked):
        if (phase["wal"], _DURABILITIES[phase["synchronous"]]) != (1.0, synchronous):
            raise RuntimeError(f"{side.backend}: wal={phase['wal']}, synchronous={phase['synchronous']}")
    return {
        "enqueue, tasks/s": sent["per_second"],
        "work, tasks/s": worked["per_second"],
        "enqueue, then work, tasks/s": tasks / (sent["wall"] + worked["wall"]),
        "enqueue CPU s/1,000": sent["cpu_per_1000"],
        "work CPU s/1,000": worked["cpu_per_1000"],
        "journal_mode=wal": sent["wal"],
        "synchronous": sent["synchronous"],
    }


def main(extent: Extent, services: Sequence[str] = SERVICES) -> None:
    """Measures the sides in turn, several times, and prints the medians and the ratios of the same turn.

    Args:
        extent: How much.
        services: On which.
    """
    console = Console(width=150)
    console.print(f"[bold]Django's tasks[/], one thread each; {machine()}; medians of {extent.repeats} in turn")
    if "sqs" in services:
        _sqs(extent, console)
    if "sqlite" in services:
        _sqlite(extent, console)
    console.print(f"load at the end {os.getloadavg()[0]:.1f}")


def _sqs(extent: Extent, console: Console) -> None:
    sides = present(SQS, console)
    runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    with stand_in(DELAY_MS) as service:
        for turn in range(extent.repeats):
            for number, (name, side) in enumerate(sides.items()):
                runs[name].append(on_sqs(side, extent.tasks(TASKS), service, turn * len(sides) + number))
    console.print(f"SQS, on a stand-in whose answers take {DELAY_MS} ms; results in SQLite, where they are kept")
    console.print(table(runs, _ratios(runs, "django-tasks-sqs")))


def _sqlite(extent: Extent, console: Console) -> None:
    sides = present(SQLITE, console)
    for synchronous in ("full", "normal"):
        runs: dict[str, list[dict[str, float]]] = defaultdict(list)
        for _ in range(extent.repeats):
            for name, side in sides.items():
                runs[name].append(on_sqlite(side, extent.tasks(TASKS), synchronous))
        console.print(f"SQLite, journal_mode=wal, synchronous={synchronous}")
        console.print(table(runs, _ratios(runs, "django-tasks-db")))


def _ratios(runs: dict[str, list[dict[str, float]]], other: str) -> dict[str, tuple[str, str]]:
    return {f"{name} / {other}": (name, other) for name in (OURS, KEPT)} if other in runs else {}


if __name__ == "__main__":
    command = parser(__doc__)
    command.add_argument("--only", choices=SERVICES, help="on one of them alone")
    asked = command.parse_args()
    main(Extent.asked(asked), [asked.only] if asked.only else SERVICES)
