"""`WriteLock`: who may write, over all processes. The cure for SQLite's WAL-reset bug, and a fair queue of writers.

SQLite 3.7.0 to 3.51.2 can corrupt a database when one process writes while another checkpoints (semantics 24). So
every write transaction, every checkpoint and every close (the last one checkpoints) holds this lock, and none of them
ever runs beside another.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

from cloudq.errors import BackendUnavailable
from cloudq.sqlite_file.faults import busy
from cloudq.sqlite_file.files import LOCK, OWNER_ONLY, TURN, open_lock
from cloudq.sqlite_file.folder import Folder

# Seconds between two tries. The next in line looks often; those behind look seldom, so that a crowd stays cheap.
_NEXT: Final = (0.0002, 0.0006)
_BEHIND: Final = (0.001, 0.004)
# For this many seconds from when it got the lock by its turn, a process takes it again without one if it is free. So a
# writer in a loop makes half the calls, and the next in line waits for at most this much longer.
_TURN_LASTS: Final = 0.002


class WriteLock:
    """An `flock` on `<database>.lock`; the one that is next in line holds `<database>.turn`.

    ```
     A  lock ────── work ────── unlock   wants turn: no, B has it … waits
     B    turn … waits for lock ───────▶ lock, gives turn up ────── work
    ```

    Without the turn, a process that writes in a loop would win nearly every time against those that sleep. A turn lasts
    for a moment, not for one transaction only.

    `flock` rather than `lockf`: its locks belong to the open file, so that two drivers in one process exclude each
    other too, and closing another handle of the file drops nothing. The files are never deleted; if somebody does that,
    the next one that locks notices.

    Args:
        path: The database.
        timeout: How long `acquire` waits.
        mode: Who may open files that it makes.

    Attributes:
        folder: That of the database, and of the lock files.
    """

    def __init__(self, path: Path, timeout: timedelta, *, mode: int = OWNER_ONLY) -> None:
        self._path = path
        self._timeout = timeout.total_seconds()
        self.folder = Folder(path.parent)
        self._turn_ends = 0.0
        self._lock = _File(path.with_name(path.name + LOCK), mode, self.folder)
        try:
            self._turn = _File(path.with_name(path.name + TURN), mode, self.folder)
        except BaseException:
            self._lock.close()
            raise
        self._is_open = True

    def acquire(self, deadline: float | None = None) -> None:
        """Takes the lock.

        Interrupted by an exception it may be held, or the turn may be: `release` has to be called then.

        Args:
            deadline: Until when to wait for it, in seconds of `time.monotonic`; `None`: for the time-out.

        Raises:
            BackendUnavailable: Others held it until then.
        """
        began = time.monotonic()
        if began < self._turn_ends and self._lock.take(began, _NEXT):
            return
        deadline = began + self._timeout if deadline is None else deadline
        if not self._turn.take(deadline, _BEHIND):
            raise self._busy(deadline - began)
        try:
            if not self._lock.take(deadline, _NEXT):
                raise self._busy(deadline - began)
        finally:
            self._turn.free()
        self._turn_ends = time.monotonic() + _TURN_LASTS

    @property
    def state(self) -> object:
        """That of the folder, once the lock was held (see `Folder.state`)."""
        return self._lock.named_in

    def release(self) -> None:
        """Gives up what is held: the lock, and after an interrupted `acquire` the turn."""
        self._lock.free()
        if self._turn.may_be_locked:
            self._turn.free()

    def close(self) -> None:
        """Closes the files, once. In a child process this takes nothing from its parent, which has them open too."""
        if not self._is_open:
            return
        self._is_open = False
        self._turn.close()
        self._lock.close()

    def _busy(self, seconds: float) -> BackendUnavailable:
        return busy(self._path, f"its lock file was held by others for {max(0.0, seconds):.2g} s")


class _File:
    """One lock file. `named_in` is the state of its folder in which its name was seen to be its own."""

    named_in: object = None

    def __init__(self, path: Path, mode: int, folder: Folder) -> None:
        self._mode = mode
        self._folder = folder
        self._path = str(path)  # a Path would take longer than the system's call
        self.may_be_locked = False  # whether there may be something to free
        self._open()

    def _open(self) -> None:
        self._file = open_lock(self._path, self._mode)
        self._identity = identity(self._file)

    def take(self, deadline: float, pause: tuple[float, float]) -> bool:
        """Locks it, or gives up after the deadline (false)."""
        self.may_be_locked = True  # first: an exception may strike just behind the step that locks it
        while _try_lock(self._file, deadline, pause):
            state = self._folder.state()
            if state == self.named_in or self._has_its_name(state):
                return True
            # Somebody deleted it: those who opened it since lock another file. So take the new one.
            old = self._file
            fcntl.flock(old, fcntl.LOCK_UN)  # now, lest an exception before its end keeps it locked
            self._open()
            os.close(old)
        return False

    def _has_its_name(self, state: object) -> bool:
        if identity(self._path) != self._identity:
            return False
        self.named_in = state
        return True

    def free(self) -> None:
        """Unlocks it, if it may be locked."""
        if self.may_be_locked:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self.may_be_locked = False

    def close(self) -> None:
        """Closes it, which unlocks it too."""
        os.close(self._file)


def identity(file: str | int) -> tuple[int, int] | None:
    """What tells a file from another one that has taken its place; `None` if there is none of that name."""
    try:
        status = os.stat(file)  # noqa: PTH116 - called at each transaction, and a Path takes much longer
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _try_lock(file: int, deadline: float, pause: tuple[float, float]) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            # Real time, not the injected clock's: this waits for other processes.
            time.sleep(random.uniform(*pause))  # noqa: S311 - jitter, not a secret
        else:
            return True
