"""What is printed of a benchmark: medians, ratios of the same turn, and why a side isn't measured."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from tests.benchmarks.environments import HERE
from tests.benchmarks.report import present, table


class Side(NamedTuple):
    """A side of a benchmark."""

    packages: tuple[str, ...]
    python: Path = HERE


def printed(what: object) -> str:
    """As it is printed."""
    out = io.StringIO()
    Console(file=out, width=200).print(what)
    return out.getvalue()


def test_a_table_has_medians_and_the_ratios_of_turns() -> None:
    """A figure that one side doesn't have is left out there, and has no ratio."""
    runs = {
        "ours": [{"rate": 10.0, "batched": 1.0}, {"rate": 90.0, "batched": 2.0}, {"rate": 30.0, "batched": 3.0}],
        "theirs": [{"rate": 5.0}, {"rate": 100.0}, {"rate": 10.0}],
    }
    lines = [line.split("│")[1:-1] for line in printed(table(runs, {"x": ("ours", "theirs")})).splitlines()[3:-1]]
    assert [["rate", "30", "10", "2.00"], ["batched", "2", "", ""]] == [
        [cell.strip() for cell in line] for line in lines
    ]


def test_a_side_that_cannot_be_measured_is_named_with_its_reason() -> None:
    """It is left out, never silently; of the others the versions are printed."""
    out = io.StringIO()
    sides = {"ours": Side(("msgspec",)), "theirs": Side(("no-such-package-at-all",))}
    assert ["ours"] == list(present(sides, Console(file=out, width=200)))
    assert "not measured: theirs: no-such-package-at-all: not installed" in out.getvalue()
    assert "msgspec " in out.getvalue()
