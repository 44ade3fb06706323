"""A shop in a folder of its own, whose tasks the samples are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)  # the tests' folders are no packages


@pytest.fixture
def shop(tmp_path: Path) -> object:
    """Where the tasks of the samples leave their effects."""
    from samples import Shop

    return Shop(tmp_path)
