"""The folder with images and thumbnails, and the database that knows which there are."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,60}\.(?:jpg|png)$"
SIZES: Final = (128, 512)


class Gallery:
    """Images and their thumbnails.

    Args:
        folder: Where they are kept; made if it isn't there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def original(self, name: str) -> Path:
        """Where an image is kept as it came."""
        return self.folder / _checked(name)

    def thumbnail(self, name: str, size: int) -> Path:
        """Where its thumbnail of a size is kept."""
        return self.folder / f"{_checked(name)}.{size}.jpeg"

    def keep(self, path: Path, content: bytes) -> None:
        """Writes a file whole, or not at all: a reader never sees half of one, nor does a task that runs twice."""
        beside = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
        beside.write_bytes(content)
        beside.replace(path)


def get_gallery() -> Gallery:
    """Of the folder that the environment names: for endpoints and tasks alike."""
    return Gallery(Path(os.environ.get("GALLERY", "gallery")))


def get_catalog() -> Iterator[sqlite3.Connection]:
    """A connection of its own for each request and each attempt of a task, committed where that succeeds."""
    folder = get_gallery().folder
    # FastAPI opens it in one thread of its pool and may close it in another.
    catalog = sqlite3.connect(folder / "catalog.db", check_same_thread=False)
    try:
        catalog.execute(
            "CREATE TABLE IF NOT EXISTS thumbnails (name TEXT, size INTEGER, width INTEGER, height INTEGER, "
            "PRIMARY KEY (name, size))"
        )
        yield catalog
        catalog.commit()
    finally:
        catalog.close()


def _checked(name: str) -> str:
    if not re.fullmatch(NAME, name):
        raise ValueError(f"{name!r} is no name of an image")  # which might lead out of the folder
    return name
