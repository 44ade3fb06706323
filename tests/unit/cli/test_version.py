"""`cloudq version`."""

from __future__ import annotations

import json
import platform
import sqlite3

import cloudq


def test_version(cli):
    """It prints name and version, and nothing on stderr."""
    assert (0, f"cloudq {cloudq.__version__}\n", "") == cli("version")


def test_json(cli):
    """A program gets what a bug report needs."""
    result = cli("version", "--json")
    expected = {
        "cloudq": cloudq.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "sqlite": sqlite3.sqlite_version,
    }
    assert (0, expected, "") == (result.code, json.loads(result.out), result.err)
