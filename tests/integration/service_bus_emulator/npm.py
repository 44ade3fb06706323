"""Azure's client for JavaScript, installed once in the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock

PACKAGE = "@azure/service-bus@7.9.5"


class Unavailable(Exception):
    """The client can't be had on this machine."""


def installed() -> Path:
    """The folder with the client, in the user's cache; installed at the first time."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Unavailable("there is no node, or no npm")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloudq-tests"
    folder = cache / PACKAGE.replace("/", "-")
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "npm.lock"):
        if not (folder / "complete").exists():
            folder.mkdir(exist_ok=True)
            command = [
                "npm",
                "install",
                "--no-audit",
                "--no-fund",
                "--no-package-lock",
                "--prefix",
                str(folder),
                PACKAGE,
            ]
            found = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
            if found.returncode:
                raise Unavailable(f"npm can't install {PACKAGE}: {found.stderr[-500:]}")
            (folder / "complete").touch()
    return folder
