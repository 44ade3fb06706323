"""fsspec file systems for tests of claim checks: memory that fails when told to, and that counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from uuid import uuid4

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class FlakyFileSystem(MemoryFileSystem):
    """Keeps blobs in memory. Raises `down`, while it is set, from every call; calls `meanwhile` during each write."""

    protocol = "flaky"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    down: ClassVar[BaseException | None] = None
    meanwhile: ClassVar[Any] = None
    reads: ClassVar[list[tuple[str, int | None, int | None]]] = []
    threads: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("flaky://").strip("/")

    def _calls(self) -> None:
        type(self).threads.append(threading.current_thread().name)
        if self.down is not None:
            raise self.down

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: object) -> None:
        self._calls()
        if type(self).meanwhile is not None:
            type(self).meanwhile()
        super().pipe_file(path, value, mode=mode, **kwargs)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: object) -> bytes:
        self._calls()
        type(self).reads.append((path, start, end))
        return super().cat_file(path, start=start, end=end, **kwargs)

    def rm_file(self, path: str) -> None:
        self._calls()
        if path not in self.store:
            raise FileNotFoundError(path)
        del self.store[path]


fsspec.register_implementation("flaky", FlakyFileSystem, clobber=True)


@contextmanager
def flaky_store() -> Iterator[str]:
    """The URL of an empty store; it works again, and is gone, at the end."""
    FlakyFileSystem.down = FlakyFileSystem.meanwhile = None
    FlakyFileSystem.reads.clear()
    FlakyFileSystem.threads.clear()
    try:
        yield f"flaky://store-{uuid4().hex}"
    finally:
        FlakyFileSystem.down = FlakyFileSystem.meanwhile = None
        FlakyFileSystem.store.clear()


def blobs() -> dict[str, bytes]:
    """What is in the store, by path."""
    return {path: file.getvalue() for path, file in FlakyFileSystem.store.items()}


def put(path: str, data: bytes) -> None:
    """Overwrites a blob, past all checks."""
    file = FlakyFileSystem.store[path]
    file.seek(0)
    file.truncate()
    file.write(data)
