"""Whatever attributes and details strangers write: each message runs, is retried within bounds, or is dead-lettered."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from tests.chaos.scale import sized
from tests.integration.foreign_details import messages, work_off

CHUNKS = sized(2, 100)
fuzz = settings(max_examples=CHUNKS, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.mark.slow
@pytest.mark.timeout(sized(120, 1_800))
@fuzz
@given(given=messages)
def test_on_sqlite(given: list[tuple[dict[str, object], str, str | None]], tmp_path_factory) -> None:
    """Also no line of the log is theirs."""
    driver = SQLiteDriver(Path(tmp_path_factory.mktemp("fuzz"), "queue.db"), synchronous="normal")
    work_off(driver, given)
    driver.close()


@pytest.fixture(scope="module")
def emulated():
    with ServiceBusEmulator(admin_port=None) as emulator:
        emulator.create_queue("default")
        yield emulator.connection_string


@pytest.mark.slow
@pytest.mark.timeout(sized(120, 1_800))
@fuzz
@given(given=messages)
def test_on_service_bus(given: list[tuple[dict[str, object], str, str | None]], emulated: str) -> None:
    """On the emulator, by the real SDK."""
    driver = ServiceBusDriver("127.0.0.1", connection_string=emulated)
    work_off(driver, given)
    driver.close()
