"""A Functions host that is connected to its app."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.azure_functions.fakes import Host


@pytest.fixture
def host() -> Iterator[Host]:
    with Host().connected() as made:
        yield made
