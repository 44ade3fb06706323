"""What the tests of the push edge share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudq import App
from cloudq.push import PushEdge
from tests.unit.push.fakes import PushedDriver, edge_of, pushed


@pytest.fixture
def backend() -> Iterator[tuple[App, PushedDriver]]:
    """An app on a backend that pushes."""
    with pushed() as made:
        yield made


@pytest.fixture
def edge(backend: tuple[App, PushedDriver]) -> Iterator[PushEdge]:
    """That app's edge, which takes pushes without tokens."""
    app, _ = backend
    with edge_of(app) as made:
        yield made
