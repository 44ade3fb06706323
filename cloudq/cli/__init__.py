"""The command line. It uses everything; nothing imports it, and the library works without it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

# What the command line needs beyond the library; each of them brings its own.
_NEEDED = frozenset({"typer", "rich", "click", "shellingham"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `cloudq` with these arguments (default: the process's own) and returns its exit code."""
    try:
        from cloudq.cli.application import run
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _NEEDED:
            raise
        sys.stderr.write(
            f"cloudq: the command line needs {package}, which isn't installed\n  hint: pip install typer\n"
        )
        return 2
    return run(arguments)
