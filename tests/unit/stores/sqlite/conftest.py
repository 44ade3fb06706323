"""A store in a temporary file, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloudq.stores.sqlite import SqliteStore
from cloudq.testing.clock import FakeClock

Open = Callable[..., SqliteStore]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cloudq.db"


@pytest.fixture
def opened(path: Path, clock: FakeClock) -> Iterator[Open]:
    """Opens another store on the file, as another process would."""
    stores: list[SqliteStore] = []

    def opens(namespace: str = "app", **options: Any) -> SqliteStore:
        stores.append(SqliteStore(options.pop("path", path), namespace, **{"clock": clock, **options}))
        return stores[-1]

    yield opens
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Open) -> SqliteStore:
    return opened()
