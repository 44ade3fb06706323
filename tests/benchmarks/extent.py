"""How much is measured: what each benchmark's command line says."""

from __future__ import annotations

import argparse
import os
import platform
from typing import NamedTuple, Self


class Extent(NamedTuple):
    """How much is measured.

    Attributes:
        repeats: How often each side is measured, in turn.
        divisor: By what the number of tasks is divided.
    """

    repeats: int = 5
    divisor: int = 1

    def tasks(self, number: int) -> int:
        """How many tasks there are instead of `number`: a multiple of ten, at least ten."""
        return max(1, number // self.divisor // 10) * 10

    @classmethod
    def asked(cls, arguments: argparse.Namespace) -> Self:
        """What the command line says."""
        repeats = arguments.repeats or (2 if arguments.quick else 5)
        return cls(repeats, 5 if arguments.quick else 1)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A command line that says how much is measured."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--repeats", type=int, help="turns, of which the medians are taken: 5, or 2 with --quick")
    made.add_argument("--quick", action="store_true", help="two turns, a fifth of the tasks: to see that it runs")
    return made


def machine() -> str:
    """Where it is measured, and how busy that is."""
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
