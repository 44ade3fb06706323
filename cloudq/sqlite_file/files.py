"""Who may read and write the files: only their owner, unless the URL says otherwise.

Payloads and tracebacks are in them, and another user who can open a lock file, for reading even, can hold the lock.
SQLite gives its `-wal` and `-shm` the mode of the database.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from cloudq.core.safe_log import SafeLogger
from cloudq.errors import BackendError

OWNER_ONLY: Final = 0o600
LOCK: Final = ".lock"
TURN: Final = ".turn"

_OTHERS: Final = stat.S_IROTH | stat.S_IWOTH

_log = SafeLogger(__name__)


def make(path: Path, mode: int) -> None:
    """Makes an empty database with that mode, which the umask doesn't narrow, if there is none.

    Called under the write lock: closing a handle of the file drops the process's locks on it (semantics 24), and nobody
    can have one on a file that didn't exist.
    """
    with suppress(FileExistsError):
        os.close(_made(str(path), mode))


def open_lock(path: str, mode: int) -> int:
    """Opens a lock file, which is made with that mode if there is none.

    Raises:
        BackendError: It is a symbolic link, which somebody may have put there to have another file made or locked.
        OSError: It can't be opened.
    """
    while True:
        with suppress(FileExistsError):
            return _made(path, mode)
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # deleted in between
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise BackendError(
                f"{path} is a symbolic link, and a lock file is none", hint="find out who made it, then delete it"
            ) from error


def warn_of_others(path: Path, mode: int) -> None:
    """Warns, once a process, where others than the owner and the group may do more than the URL's mode says.

    Args:
        path: The database. Files that exist keep the mode that they have.
        mode: What the URL says.
    """
    names = [path.name, path.name + LOCK, path.name + TURN]
    open_to_others = [name for name in names if _mode(path.with_name(name)) & _OTHERS & ~mode]
    if open_to_others:
        _warn(
            f"other users of this machine can read, or hold, {', '.join(open_to_others)} in {path.parent}: "
            f"chmod {mode:o}, or say so with ?mode="
        )
    if _mode(path.parent) & stat.S_IWOTH:
        _warn(f"other users of this machine can write in {path.parent}, where the database {path.name} is")


def _made(path: str, mode: int) -> int:
    # O_EXCL follows no link, a dangling one neither.
    made = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
    if mode != OWNER_ONLY:
        os.fchmod(made, mode)
    return made


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


@cache
def _warn(text: str) -> None:
    _log.warning("%s", text)
