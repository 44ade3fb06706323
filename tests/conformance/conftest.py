"""What the conformance runs share: emulators."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.cloud_tasks import Emulated


@pytest.fixture(scope="module")
def cloud_tasks() -> Iterator[Emulated]:
    """An emulator of Cloud Tasks, in fake time."""
    with Emulated() as emulated:
        yield emulated
