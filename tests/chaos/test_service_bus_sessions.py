"""Sessions of Azure Service Bus under failures: each keeps its order, whatever becomes of its messages."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from tests.chaos.scale import sized
from tests.integration.processes import unexplained, wait_until
from tests.integration.service_bus import conftest as service_bus
from tests.integration.service_bus.place import ORDERED, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 900), func_only=True)]
place = service_bus.place

SESSIONS, EACH = sized((12, 12), (50, 40))
CUTS = sized(2, 5)
FAILS = 0.1
DEAD = 7


def test_each_session_keeps_its_order(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Two workers, tasks that fail by chance, connections that are cut; in every fifth session one is dead-lettered."""
    place.make(ORDERED, timedelta(seconds=20))
    step = place.app.tasks["step"]
    began = time.monotonic()
    keys = [f"key-{number}" for number in range(SESSIONS)]
    place.app.send_many(
        step.options(ordering_key=key).call(key=key, n=n, fails=FAILS, dies=number % 5 == 0 and n == DEAD)
        for n in range(EACH)
        for number, key in enumerate(keys)
    )
    for number in range(2):
        place.start("--queue", ORDERED, "--concurrency", "8", log=f"worker-{number}.log")
    for cut in range(CUTS):
        due = 2 * SESSIONS * EACH * (cut + 1) // (CUTS + 2)
        wait_until(lambda due=due: len(place.lines("steps.txt")) >= due, within=60, what=f"{due} have run")  # type: ignore[misc]
        place.emulator.faults.drop_connections()
    wait_until(lambda: place.is_empty(ORDERED), within=sized(60, 400), what="all is settled")

    through: dict[str, list[int]] = {key: [] for key in keys}
    runs = 0
    for key, n, is_done in place.steps():
        runs += not is_done
        # Nothing is begun before all that came before it is through; what was cut off may be repeated.
        assert n <= len(through[key]), f"{key}: {n} is begun, and only {through[key]} are through"
        if is_done and n == len(through[key]):
            through[key].append(n)
    took = time.monotonic() - began
    with capsys.disabled():
        print(f"\n[service bus: sessions] {SESSIONS} x {EACH}, {CUTS} cuts: {runs} runs in {took:.1f} s, two workers")
    assert {key: [*range(EACH)] for key in keys} == through
    assert len(range(0, SESSIONS, 5)) == place.counts(ORDERED).dead_letter
    for number in range(2):
        assert [] == unexplained(place.log(f"worker-{number}.log"))
