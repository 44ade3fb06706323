"""Imports that a test undoes: of modules that are loaded a second time, and of those in a folder of its own.

A submodule stands in two places, in `sys.modules` and as an attribute of its package. Where only one of them is put
back, a later test of the same process replaces a function in one copy of a module while the code runs another.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def forget(monkeypatch: pytest.MonkeyPatch, package: str, *, but: str = "") -> None:
    """Has the next import load a package and all in it anew; when the test ends, what was loaded before is back.

    Args:
        monkeypatch: The test's, which puts it back.
        package: Its name, as `cloudq.drivers.sqs`.
        but: A module in it that stays.
    """
    loaded = {name: module for name, module in sys.modules.items() if name == package or name.startswith(f"{package}.")}
    for name, module in loaded.items():
        if name == but:
            continue
        parent, _, child = name.rpartition(".")
        holder = sys.modules.get(parent) or loaded.get(parent)
        if holder is not None and getattr(holder, child, None) is module:
            monkeypatch.setattr(holder, child, module)
        monkeypatch.delitem(sys.modules, name)


@contextmanager
def imported_within(folder: Path) -> Iterator[None]:
    """What is imported from a folder within the block is forgotten at its end, and all else stays."""
    try:
        yield
    finally:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
                del sys.modules[name]
