"""The command line. It uses everything; nothing imports it, and the library works without it."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `cloudq` with these arguments (default: the process's own) and returns its exit code."""
    from cloudq.cli.process import run

    return run(arguments)
