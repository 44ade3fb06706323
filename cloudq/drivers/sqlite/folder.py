"""`Folder`: by one look, whether the names in a folder may mean other files than at an earlier look.

A process that makes, deletes or renames something in a folder changes the folder's `ctime`, which none can set to what
it was. So while that stays the same, one look at it stands for a look at each name.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

# The `ctime` of a change is that of the last tick of the kernel's clock. So a later change may leave the same one until
# a tick has passed (at most 10 ms), or a whole unit of a file system that keeps full seconds, or every other one.
_TICK: Final = 100_000_000
_SECOND: Final = 1_000_000_000
_COARSE: Final = 3 * _SECOND


class Folder:
    """Looks at one folder.

    Args:
        path: The folder, absolute and without symbolic links.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._settled: tuple[int, int, int] | None = None

    def state(self) -> object:
        """What equals an earlier state only if no name in the folder was given to another file in between.

        To be asked for before a look at the names, which then needn't be repeated while the state is the same. While
        the folder has only just been changed, each state is unequal to all others.

        Raises:
            OSError: It can't be looked at.
        """
        try:
            status = os.stat(self._path)  # noqa: PTH116 - called at each transaction, and a Path takes much longer
        except FileNotFoundError:
            return object()
        state = (status.st_ctime_ns, status.st_ino, status.st_dev)
        if state == self._settled:
            return state
        age = time.time_ns() - status.st_ctime_ns
        if age < (_TICK if status.st_ctime_ns % _SECOND else _COARSE):
            return object()
        self._settled = state
        return state
