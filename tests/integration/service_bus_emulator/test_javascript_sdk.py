"""@azure/service-bus for JavaScript against the emulator: a client that shares no code with the one for Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from tests.integration.service_bus_emulator.npm import Unavailable, installed

pytestmark = pytest.mark.slow
SCENARIOS = Path(__file__).parent / "javascript" / "scenarios.js"
NAMES = re.findall(r'^  async "([^"]+)"\(\)', SCENARIOS.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def results(emulator: ServiceBusEmulator, make_entities: Callable[[], tuple[str, str, str]]) -> dict[str, str | None]:
    """What went wrong in each scenario, if anything: they are run one after another by one process."""
    try:
        folder = installed()
    except Unavailable as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the JavaScript client isn't there: {reason}")
    command = ["node", str(SCENARIOS), emulator.connection_string, *make_entities()]
    environment = os.environ | {"NODE_PATH": str(folder / "node_modules")}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "" == found.stderr
    return dict(json.loads(line) for line in found.stdout.splitlines())


@pytest.mark.parametrize("name", NAMES)
def test_javascript(results: dict[str, str | None], name: str) -> None:
    """What the scenario of this name says holds."""
    assert results[name] is None, results[name]
