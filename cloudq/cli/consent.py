"""Whose code a command runs: an app that nobody named is imported only from where nobody else can have put it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cloudq.cli.output import note
from cloudq.discovery import APP_VARIABLE, Found
from cloudq.errors import ConfigurationError
from cloudq.tasks.project import is_everybodys, is_ours, module_of


def refuse_others_code(found: Found) -> None:
    """Refuses an app that was found by looking around, if others may have put it there; a group's right is only noted.

    Looked at are the file that was found, and the folders from it up to the one that goes on the import path.

    Raises:
        ConfigurationError: One of them is neither ours nor root's, or every user may write to it.
    """
    if found.file is None:
        return  # `--app` or CLOUDQ_APP is consent
    for place in dict.fromkeys([*_places(found.file, found.folder), *_on_the_way(found)]):
        status = place.stat()
        if not is_ours(status):
            why = "belongs to another user"
        elif is_everybodys(status):
            why = "can be written by every user of this machine"
        else:
            if status.st_mode & stat.S_IWGRP and not _has_one_member(status.st_gid):
                note(f"note: {found.spec} is imported, and {place} can be written by its group")
            continue
        raise ConfigurationError(
            f"{found.spec} isn't imported, as nobody named it and {place} {why}",
            hint=f"if you trust it, name it: --app {found.spec}, or {APP_VARIABLE}={found.spec}",
        )


def _places(file: Path, folder: Path) -> list[Path]:
    return [file, *(parent for parent in file.parents if parent.is_relative_to(folder))]


def _on_the_way(found: Found) -> Iterator[Path]:
    """The packages, and the module, that a project file names: they need not lie where it does."""
    place = found.folder
    for part in module_of(found.spec).split("."):
        place /= part
        yield from filter(Path.exists, (place, place / "__init__.py", place.with_name(f"{place.name}.py")))


def _has_one_member(group: int) -> bool:
    """Whether it is the group that many systems make for each user, with no other member."""
    import grp
    import pwd

    try:
        entry, owner = grp.getgrgid(group), pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return owner.pw_gid == group and entry.gr_name == owner.pw_name and set(entry.gr_mem) <= {owner.pw_name}
