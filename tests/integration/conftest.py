"""For all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.left_threads import idle_threads_end


@pytest.fixture(autouse=True)
def _idle_threads_end() -> Iterator[None]:
    with idle_threads_end():
        yield
