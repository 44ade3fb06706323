"""A mapping that is connected to its function's app."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.aws_lambda.fakes import Mapping


@pytest.fixture
def mapping() -> Iterator[Mapping]:
    with Mapping().connected() as made:
        yield made
