"""A shop in a folder of its own, whose tasks the samples are."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)  # the tests' folders are no packages


@pytest.fixture
def collected() -> Iterator[None]:
    """What the test leaves is collected at its end: warnings of it are no other test's."""
    yield
    gc.collect()


@pytest.fixture
def shop(tmp_path: Path) -> object:
    """Where the tasks of the samples leave their effects."""
    from samples import Shop

    return Shop(tmp_path)
