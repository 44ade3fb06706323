"""The disk that an SQLite database is on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cloudq.cli.doctor.catalogue import FAULTS
from cloudq.cli.doctor.fault import Finding, Where

LEAST_FREE: Final = 256 * 1024 * 1024
# What /proc/mounts calls those of other machines (filesystems of Linux 6.12, Documentation/filesystems, 2026-11).
_NETWORK: Final = frozenset(
    {"afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
    | {"fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)
_MOUNTS: Final = Path("/proc/mounts")


def look_at_disk(
    database: Path, free: Callable[[Path], int | None] | None = None, mounts: Path = _MOUNTS
) -> Iterator[Finding]:
    """Whether the disk is of the network, or nearly full.

    Args:
        database: The file; it needn't be there yet.
        free: Tells how many bytes are left in a folder, if that is known.
        mounts: The table of what is mounted, as Linux writes it. Without it nothing is known of the network.
    """
    left = (free or _free)(database.parent)
    if left is not None and left < LEAST_FREE:
        yield _found("disk-nearly-full", f"{left // (1024 * 1024)} MiB are left for {database}")
    kind = _kind(database.parent, mounts)
    if kind in _NETWORK:
        yield _found("disk-of-the-network", f"{database} is on a file system of type {kind}")


def _free(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _kind(folder: Path, mounts: Path) -> str | None:
    """The type of the file system that a folder is on: that of the mount with the longest path that leads there."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    place, best, kind = folder.resolve(), Path(), None
    for line in lines:
        _, where, what, *_ = [*line.split(" "), "", "", ""]
        mount = Path(where.replace("\\040", " ") or "/")
        # The same place may be mounted over: the last one counts.
        if place.is_relative_to(mount) and len(mount.parts) >= len(best.parts):
            best, kind = mount, what
    return kind


def _found(fault: str, what: str) -> Finding:
    return Finding(fault=FAULTS[fault], where=Where.SQLITE, what=what)
