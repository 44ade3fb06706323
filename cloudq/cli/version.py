"""`cloudq version`."""

from __future__ import annotations

import platform

import cloudq
from cloudq.cli.options import Debug, Json
from cloudq.cli.output import write, write_json

EXAMPLES = ("cloudq version", "cloudq version --json")


def version(*, json: Json = False, _debug: Debug = False) -> None:
    """Print the version; with --json also Python's, the platform and SQLite's."""
    if not json:
        write(f"cloudq {cloudq.__version__}")
        return
    import sqlite3

    write_json(
        {
            "cloudq": cloudq.__version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "sqlite": sqlite3.sqlite_version,
        }
    )
