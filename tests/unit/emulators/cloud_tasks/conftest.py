from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.emulators.cloud_tasks.bench import Bench, bench


@pytest.fixture
def lab() -> Iterator[Bench]:
    """A strict emulator with an empty queue `emails`."""
    with bench() as made:
        made.queue()
        yield made
