"""What is printed of a benchmark: its sides with their versions, and a table of medians. The sides don't import it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from rich.console import Console
from rich.table import Table

from tests.benchmarks.environments import Missing, versions
from tests.benchmarks.figures import ratio, shown

Turns: TypeAlias = Sequence[Mapping[str, float]]
"""The figures of one side, turn by turn."""


class Placed(Protocol):
    """A side of a benchmark."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What of it has versions worth printing."""

    @property
    def python(self) -> Path:
        """The environment it runs in."""


AnySide = TypeVar("AnySide", bound=Placed)


def present(sides: Mapping[str, AnySide], console: Console) -> dict[str, AnySide]:
    """The sides that can be measured here, with their versions printed; of the others why they can't."""
    found: dict[str, AnySide] = {}
    printed: set[str] = set()
    for name, side in sides.items():
        try:
            there = versions(side.python, *side.packages)
        except Missing as missing:
            console.print(f"  not measured: {name}: {missing}")
            continue
        found[name] = side
        printed.add(", ".join(f"{package} {version}" for package, version in there.items()))
    console.print("  " + "; ".join(sorted(printed)))
    return found


def table(runs: Mapping[str, Turns], ratios: Mapping[str, tuple[str, str]]) -> Table:
    """The medians of each side, and ratios of two sides.

    Args:
        runs: The turns of each side. The figures of the first are shown, in their order.
        ratios: A column's name, with the two sides that it compares.
    """
    made = Table("figure", *runs, *ratios)
    for figure in next(iter(runs.values()))[0]:
        each = {name: [turn[figure] for turn in turns] for name, turns in runs.items() if figure in turns[0]}
        medians = [shown(statistics.median(each[name])) if name in each else "" for name in runs]
        compared = [f"{ratio(each[one], each[other]):.2f}" if other in each else "" for one, other in ratios.values()]
        made.add_row(figure, *medians, *compared)
    return made
