"""The time of an emulator's thread while a test's is frozen."""

from __future__ import annotations

import threading

import pytest
from freezegun import freeze_time

from cloudq.emulators.cloud_tasks import CloudTasksEmulator
from cloudq.emulators.service_bus.runner import ServiceBusEmulator


@pytest.mark.parametrize("kind", [CloudTasksEmulator, ServiceBusEmulator])
def test_an_emulator_stops_while_time_is_frozen(kind) -> None:
    """What it waits for meanwhile comes: its thread is gone. (cryptography can't make its first certificate then.)"""
    before = set(threading.enumerate())
    emulator = kind().start()
    with freeze_time("2030-01-02"):
        emulator.stop()
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.endswith("emulator")]


def test_an_emulator_ends_after_tests_that_froze_time() -> None:
    """Its loop's time is the real one then too, so that what began to wait meanwhile is woken."""
    with ServiceBusEmulator() as emulator:
        loop = emulator._loop
        assert loop is not None
        real = loop.time()
        with freeze_time("2030-01-02"):
            assert 0 <= emulator.call(loop.time) - real < 3600
