"""An emulator that takes short deadlines and back-offs, and a stand with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudq.emulators.cloud_tasks import CloudTasksEmulator, Settings
from tests.chaos.cloud_tasks.grpc_proxy import GrpcProxy
from tests.chaos.cloud_tasks.stand import Stand


@pytest.fixture
def emulator() -> Iterator[CloudTasksEmulator]:
    with CloudTasksEmulator(settings=Settings(relaxed=True)) as emulator:
        yield emulator


@pytest.fixture
def proxy(emulator: CloudTasksEmulator) -> Iterator[GrpcProxy]:
    """Between a worker and the emulator."""
    with GrpcProxy(emulator.address) as proxy:
        yield proxy


@pytest.fixture
def stand(tmp_path: Path, emulator: CloudTasksEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    with Stand(tmp_path, emulator, monkeypatch) as stand:
        yield stand


@pytest.fixture
def proxied(
    tmp_path: Path, emulator: CloudTasksEmulator, proxy: GrpcProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stand]:
    """A stand whose workers call through the proxy."""
    with Stand(tmp_path, emulator, monkeypatch, proxy=proxy) as stand:
        yield stand
