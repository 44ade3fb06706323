"""`make bench-against REV=...`: client CPU and calls a task of this tree beside those of another revision of it.

Both run the same phases on SQS (LocalStack, behind a counting proxy) and SQLite, in turn, each in a process of its own,
so that a machine whose speed drifts slows both. The ratios are those of the pairs; what is printed is their median. One
round before them isn't counted: it leaves the modules compiled, as they are where people have installed them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import boto3

from localstack.start import CREDENTIALS, LocalStack
from tests.benchmarks.measure import ROOT, folder, result
from tests.benchmarks.sqs import CONTROL
from tests.chaos.http_proxy import Counting, HttpProxy

TASKS = int(os.environ.get("BENCH_TASKS", "5000"))
# Enough of them that what a worker does once at its start doesn't count.
SQLITE_TASKS = 4 * TASKS
SINGLE_TASKS = int(os.environ.get("BENCH_SINGLE_TASKS", str(max(TASKS // 5, 1))))
REPEATS = int(os.environ.get("BENCH_REPEATS", "7"))


class Phase(NamedTuple):
    """One phase of a benchmark's side.

    Attributes:
        backend: Where it runs.
        name: As the side's module calls it.
        tasks: For how many.
        fresh: Whether it begins with an empty queue; else it works off what the phase before it sent.
    """

    backend: str
    name: str
    tasks: int
    fresh: bool


PHASES = (
    Phase("sqs", "send", TASKS, fresh=True),
    Phase("sqs", "work", TASKS, fresh=False),
    Phase("sqlite", "send_many", SQLITE_TASKS, fresh=True),
    Phase("sqlite", "work", SQLITE_TASKS, fresh=False),
    Phase("sqlite", "send", SINGLE_TASKS, fresh=True),
    Phase("sqlite", "threads", SINGLE_TASKS, fresh=True),
)
MODULES = {"sqs": "sqs_cloudq", "sqlite": "cloudq_side"}


class Figures(NamedTuple):
    """CPU seconds per 1,000 tasks, and calls a task (0 where there is no service)."""

    cpu: float
    calls: float


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """The tree of a revision of this repository."""
    with tempfile.TemporaryDirectory(prefix="cloudq-against-") as place:
        tree = Path(place, "tree")
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, revision], cwd=ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


class Trees:
    """Runs phases in one tree or the other."""

    def __init__(self, url: str, calls: Counting, compiled: Path) -> None:
        self._client = boto3.client("sqs", endpoint_url=url)
        self._calls = calls
        self._compiled = compiled
        self._number = 0

    def measure(self, tree: Path, place: Path) -> dict[Phase, Figures]:
        """All phases, once."""
        return {phase: self._measured(phase, tree, place) for phase in PHASES}

    def _measured(self, phase: Phase, tree: Path, place: Path) -> Figures:
        if phase.fresh:
            self._number += 1
            if phase.backend == "sqs":
                self._client.create_queue(QueueName=self._queue)
        own = place / str(self._number)
        own.mkdir(exist_ok=True)
        self._calls.taken()
        process = subprocess.Popen(
            [sys.executable, "-m", f"tests.benchmarks.{MODULES[phase.backend]}", phase.name, str(phase.tasks)],
            cwd=own,
            env=self._environment(tree, own),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        cpu = result(process)["cpu_per_1000"]
        calls = sum(count for action, count in self._calls.taken().items() if action not in CONTROL)
        return Figures(cpu, calls / phase.tasks)

    def _environment(self, tree: Path, own: Path) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        named = {"PYTHONPATH": tree, "BENCH_FOLDER": own, "PYTHONPYCACHEPREFIX": self._compiled}
        return {**kept, "BENCH_QUEUE": self._queue, **{name: str(path) for name, path in named.items()}}

    @property
    def _queue(self) -> str:
        return f"bench-{self._number}"


def main(revision: str) -> None:
    """Measures both trees in turn, and prints the medians of the ratios."""
    os.environ.update(CREDENTIALS)
    calls = Counting()
    ours: dict[Phase, list[Figures]] = defaultdict(list)
    theirs: dict[Phase, list[Figures]] = defaultdict(list)
    with (
        checkout(revision) as other,
        LocalStack() as localstack,
        HttpProxy(localstack.url, calls) as proxy,
        folder() as place,
    ):
        os.environ["AWS_ENDPOINT_URL"] = proxy.url
        trees = Trees(localstack.url, calls, place / "compiled")
        for number in range(-1, REPEATS):
            for tree, figures in ((other, theirs), (ROOT, ours)):
                own = place / f"{number}-{tree.name}"
                own.mkdir()
                for phase, measured in trees.measure(tree, own).items():
                    if number >= 0:
                        figures[phase].append(measured)
    print(f"this tree beside {revision}, medians of {REPEATS} in turn, load at the end {os.getloadavg()[0]:.1f}")
    for phase in PHASES:
        pairs = list(zip(ours[phase], theirs[phase], strict=True))
        cpu = statistics.median(one.cpu / other.cpu for one, other in pairs)
        seconds = statistics.median(one.cpu for one, _ in pairs)
        line = f"{phase.backend:7} {phase.name:10} CPU {cpu:.3f}x ({seconds:.3f} s per 1,000)"
        if phase.backend == "sqs":
            mine, before = (statistics.median(one.calls for one in side[phase]) for side in (ours, theirs))
            line += f"  calls a task {mine:.3f} ({before:.3f} before, {mine / before:.3f}x)"
        print(line)


if __name__ == "__main__":
    main(sys.argv[1])
