"""What runs of tasks noted, and what must not be found in it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

# How long a worker may take to tell a task that its lease is lost, once somebody else has the message.
NOTICE = 1.0


class Run(NamedTuple):
    """One run of one task.

    Attributes:
        n: The task's number.
        process: The worker's pid.
        began: When it began, on the machine's monotonic clock.
        ended: When it ended; infinite while it hasn't.
        lost: Whether it was told that its lease was lost.
    """

    n: int
    process: int
    began: float
    ended: float
    lost: bool


def read_runs(file: Path) -> list[Run]:
    """The runs that were noted in a file, in the order in which they began."""
    open_runs: dict[str, Run] = {}
    done: list[Run] = []
    for line in file.read_text().splitlines() if file.exists() else []:
        what, n, run, process, moment = line.split()
        if what == "start":
            open_runs[run] = Run(int(n), int(process), float(moment), math.inf, lost=False)
        else:
            done.append(open_runs.pop(run)._replace(ended=float(moment), lost=what == "lost"))
    return sorted([*done, *open_runs.values()], key=lambda run: run.began)


def finished(runs: Sequence[Run]) -> set[int]:
    """The tasks that have run to an end at least once."""
    return {run.n for run in runs if run.ended < math.inf}


def beside_themselves(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Runs of one task at the same time in one process."""
    return [pair for pair in _overlapping(runs) if pair[0].process == pair[1].process]


def untold(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Runs that went on beside another process's run of the same task and weren't told that their lease was lost.

    Mostly it is the first one's that is lost. A worker that was frozen may also start what it took before: only clocks
    tell it how long Service Bus's locks last, and these are set here. Then the second one is told, and at once.
    """
    return [
        (first, second)
        for first, second in _overlapping(runs)
        if first.process != second.process
        and not first.lost
        and first.ended - second.began > NOTICE
        and not (second.lost and second.ended - second.began <= NOTICE)
    ]


def _overlapping(runs: Sequence[Run]) -> Iterator[tuple[Run, Run]]:
    by_task: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_task[run.n].append(run)
    for same in by_task.values():
        for first, second in combinations(same, 2):
            if second.began < first.ended:
                yield first, second
