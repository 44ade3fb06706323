"""How much chaos: a little in the test suite, all of it by `make chaos`."""

from __future__ import annotations

import os
from typing import Final, TypeVar

T = TypeVar("T")

FULL: Final = os.environ.get("CHAOS_SCALE") == "full"
SEED: Final = int(os.environ.get("CHAOS_SEED", "20261121"))
"""Of all chance in these tests; each prints it."""


def sized(suite: T, full: T) -> T:
    """The one for the test suite, or the one for `make chaos`."""
    return full if FULL else suite
