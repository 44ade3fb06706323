"""Sessions of Azure Service Bus under failures: each keeps its order, whatever becomes of its messages."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

import pytest

from tests.chaos.scale import sized
from tests.integration.processes import wait_until
from tests.integration.service_bus import conftest as service_bus
from tests.integration.service_bus.place import ORDERED, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 900), func_only=True)]
place = service_bus.place

SESSIONS, EACH = sized((12, 12), (50, 40))
FAILS = 0.1
DEAD = 7


def test_each_session_keeps_its_order(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Two workers of eight threads, tasks that fail by chance; in every fifth session one message is dead-lettered."""
    place.make(ORDERED, timedelta(seconds=20))
    step = place.app.tasks["step"]
    keys = [f"key-{number}" for number in range(SESSIONS)]
    place.app.send_many(
        step.options(ordering_key=key).call(key=key, n=n, fails=FAILS, dies=number % 5 == 0 and n == DEAD)
        for n in range(EACH)
        for number, key in enumerate(keys)
    )
    for number in range(2):
        place.start("--queue", ORDERED, "--concurrency", "8", log=f"worker-{number}.log")
    took = wait_until(lambda: place.is_empty(ORDERED), within=sized(60, 400), what="all is settled")

    done: dict[str, list[int]] = defaultdict(list)
    for key, n, _ in place.lines("steps.txt"):
        done[key].append(int(n))
    begun: dict[str, list[int]] = defaultdict(list)
    for key, n, _ in place.lines("begun.txt"):
        begun[key].append(int(n))
    with capsys.disabled():
        tries = sum(map(len, begun.values()))
        print(f"\n[service bus: sessions] {SESSIONS} x {EACH} in {took:.1f} s, {tries} runs, two workers")
    for number, key in enumerate(keys):
        dies = number % 5 == 0
        assert [n for n in range(EACH) if not (dies and n == DEAD)] == done[key], key
        # Nothing was begun before all that came before it was through.
        assert sorted(begun[key]) == begun[key], key
        assert set(range(EACH)) == set(begun[key])
    assert len(range(0, SESSIONS, 5)) == place.counts(ORDERED).dead_letter
    for number in range(2):
        assert "Traceback" not in place.log(f"worker-{number}.log")
