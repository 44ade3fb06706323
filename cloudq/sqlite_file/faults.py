"""What SQLite and the operating system report, in cloudq's errors, with a way out as the hint."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
from pathlib import Path
from typing import Final

from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    PermissionDenied,
    StorageCorrupt,
    StorageFull,
    StorageReadOnly,
    StorageReplaced,
)

# Less free space than this fails the next growth of the file or of its -shm, which SQLite reports as a plain I/O error.
_NEXT_GROWTH: Final = 128 * 1024
_OUT_OF_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_WRITABLE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class FileClosed(BackendError):
    """The driver or the store, whose file it is, was closed."""


def is_ours(error: sqlite3.Error | OSError) -> bool:
    """Whether SQLite or the system reported it. An `OSError` without a number is none of the system's.

    A signal handler may have raised it during our work, for example `TimeoutError("the request took too long")`.
    """
    return isinstance(error, sqlite3.Error) or error.errno is not None


def translate(error: sqlite3.Error | OSError, path: Path) -> BackendError:
    """The error of cloudq that says what `error` means for the database at `path`."""
    if isinstance(error, OSError):
        return _of_system(error, path)
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    match code & 0xFF:  # the low byte is the primary code, the rest tells more
        case sqlite3.SQLITE_FULL:
            return _full(error, path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
            # PROTOCOL: others kept getting in between while this one was starting to read the log.
            return busy(path, f"another program keeps it locked ({error})")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StorageCorrupt(
                f"{path} isn't an intact cloudq database: {error}",
                hint="restore it from a backup, or rescue what is readable with sqlite3's .recover command",
            )
        case sqlite3.SQLITE_READONLY if code == sqlite3.SQLITE_READONLY_DBMOVED:
            return moved(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return read_only(path, error)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN if _no_space(path):
            return _full(error, path)
        case sqlite3.SQLITE_CANTOPEN:
            return _unopenable(error, path)
        case sqlite3.SQLITE_IOERR:
            return BackendError(
                f"{path} can't be read or written: {error}",
                hint="the disk failed, or a quota is used up: see the system's log; the database itself may be intact",
            )
        case _:
            return BackendError(f"{path}: {error}")


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether another program holds what was asked for, so that a later try may succeed."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def entered_twice(path: Path) -> BackendError:
    """The error for a thread that is in the middle of a call already, and so would wait for itself."""
    return BackendError(
        f"this thread is in the middle of a call to {path}: a signal handler interrupted it and made this one",
        hint="have the handler note the signal only, and send where the program looks at the note",
    )


def busy(path: Path, why: str) -> BackendUnavailable:
    """The error for a database that others kept locked for too long."""
    return BackendUnavailable(
        f"{path} is busy: {why}", hint="find out which process holds it (`fuser` or `lsof` names it), or try again"
    )


def moved(path: Path) -> StorageReplaced:
    """The error for a database whose file is no longer the one that was opened."""
    return StorageReplaced(
        f"{path}, or its write-ahead log, was moved, deleted or replaced while it was open: it can't be used any more",
        hint="restart this process",
    )


def read_only(path: Path, why: object) -> StorageReadOnly:
    """The error for a database that this process may not write."""
    return StorageReadOnly(
        f"{path} can't be written: {why}",
        hint="this user needs to write the file and its folder (SQLite keeps its journal beside the file)",
    )


def _of_system(error: OSError, path: Path) -> BackendError:
    if error.errno in _OUT_OF_SPACE:
        return _full(error, path)
    if error.errno in _NOT_WRITABLE:
        return read_only(path, error)
    return BackendError(f"{path}: {error}")


def _full(error: Exception, path: Path) -> StorageFull:
    return StorageFull(
        f"no room to write {path}: {error}", hint="free some space; what was accepted before is still there"
    )


def _unopenable(error: Exception, path: Path) -> BackendError:
    if not path.parent.is_dir():
        return BackendError(f"the folder of {path} is gone: {error}", hint="restore it, then restart this process")
    if not os.access(path.parent, os.W_OK):
        return read_only(path, error)
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return PermissionDenied(f"{path} can't be opened: {error}", hint="this user needs to read and write the file")
    return BackendError(
        f"{path} can't be opened: {error}", hint="most likely this process has too many files open (`ulimit -n`)"
    )


def _no_space(path: Path) -> bool:
    """Whether an I/O error is really one of space: SQLite tells ENOSPC apart only where it writes the file itself."""
    try:
        volume = os.statvfs(path.parent)
        if volume.f_bavail * volume.f_frsize < _NEXT_GROWTH:
            return True
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        return limit != resource.RLIM_INFINITY and _largest(path) + _NEXT_GROWTH > limit
    except OSError:  # the folder is gone or can't be looked at: whatever it is, it isn't known to be full
        return False


def _largest(path: Path) -> int:
    files = (path, path.with_name(path.name + "-wal"))
    return max((file.stat().st_size for file in files if file.exists()), default=0)
