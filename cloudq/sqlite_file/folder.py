"""`Folder`: by one look, whether the names in a folder may mean other files than at an earlier look.

A process that makes, deletes or renames something in a folder changes the folder's `ctime`, which none can set to what
it was. So while that stays the same, one look at it stands for a look at each name.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Final

from cloudq.core.clock import SYSTEM_CLOCK, Clock

# The `ctime` of a change is that of the last tick of the kernel's clock. So a later change may leave the same one until
# a tick has passed (at most 10 ms), or a whole unit of a file system that keeps full seconds, or every other one.
_TICK: Final = timedelta(milliseconds=100)
_COARSE: Final = timedelta(seconds=3)
_SECOND: Final = 1_000_000_000


class Folder:
    """Looks at one folder.

    Args:
        path: The folder, absolute and without symbolic links.
        clock: How long a state has been the same is measured by its `elapsed`. How old it is can't be told by the time
            of day, which may be set, frozen by a test, or not be the one that the file system goes by.
    """

    def __init__(self, path: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path = str(path)
        self._clock = clock
        self._settled: tuple[int, int, int] | None = None
        # The newest state, and by when it was seen.
        self._seen: tuple[tuple[int, int, int] | None, timedelta] = (None, timedelta())

    def state(self) -> object:
        """What equals an earlier state only if no name in the folder was given to another file in between.

        To be asked for before a look at the names, which then needn't be repeated while the state is the same. While
        the folder has only just been changed, or seen for the first time, each state is unequal to all others.

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
        now = self._clock.elapsed()
        seen, since = self._seen
        if state != seen:
            self._seen = (state, now)
        elif now - since >= (_TICK if status.st_ctime_ns % _SECOND else _COARSE):
            self._settled = state  # from the next look on: this one may have been long before `now`
        return object()
