"""How the interpreter of a child process is started."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import cloudq


def command(descriptor: int) -> list[str]:
    """What runs a child that talks by that descriptor.

    With `-P`: else a file in the current folder would take the place of any module that is imported before the parent
    says which app it is.
    """
    return [sys.executable, "-P", "-m", "cloudq.worker.child", str(descriptor)]


def environment() -> dict[str, str]:
    """This process's own, and on `PYTHONPATH` the folder of cloudq itself, where only the current folder has it."""
    root = str(Path(cloudq.__file__).parents[1])
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if root in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *paths}:
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, root])}
