"""`WallClock`: the wall clock of a worker process, set while it runs (time.time, datetime.now, the C library's)."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import sys
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("wall_clock.c")


def compiled(folder: Path) -> Path:
    """The library that shifts a process's wall clock, compiled into a folder. Skips where that can't be done."""
    missing = _missing()
    if missing and not os.environ.get("CI"):
        pytest.skip(f"needs {missing}, to set the wall clock of one process")
    assert not missing, f"CI has to have {missing}"
    library = folder / "wall_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True, capture_output=True)
    return library


@cache
def _missing() -> str | None:
    if sys.platform != "linux":
        return "Linux (LD_PRELOAD)"
    return None if shutil.which("cc") else "a C compiler, cc"


class WallClock:
    """One worker's wall clock.

    Args:
        library: What `compiled` gave.
        file: A file of the clock's own.
    """

    def __init__(self, library: Path, file: Path) -> None:
        file.write_bytes(bytes(8))
        self._file = file.open("r+b")
        self._offset = mmap.mmap(self._file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK_OFFSET": str(file)}

    def set(self, offset: timedelta) -> None:
        """From now on the process's wall clock is off by so much."""
        struct.pack_into("q", self._offset, 0, offset // timedelta(microseconds=1) * 1000)

    def close(self) -> None:
        """The process has ended."""
        self._offset.close()
        self._file.close()
