"""What the tests of the push edge share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudq import App
from tests.unit.push.fakes import PushedDriver, pushed


@pytest.fixture
def backend() -> Iterator[tuple[App, PushedDriver]]:
    """An app on a backend that pushes."""
    with pushed() as made:
        yield made
