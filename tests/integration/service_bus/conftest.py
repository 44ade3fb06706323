"""One emulator a test: its faults and its queues are nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from tests.integration.service_bus.place import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with ServiceBusEmulator() as emulator:
        made = Place(tmp_path, emulator, monkeypatch)
        try:
            yield made
        finally:
            emulator.faults.clear()
            made.close()
