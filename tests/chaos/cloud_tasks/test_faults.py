"""Replies that are lost, connections that break, pushes that come twice: all at once, and nothing is lost."""

from __future__ import annotations

import random

import pytest

from cloudq.emulators.cloud_tasks.faults import Cut, Failing, Faults
from cloudq.errors import BackendUnavailable
from tests.chaos.cloud_tasks.stand import LOCATION, Stand, parameters
from tests.chaos.scale import SEED, sized
from tests.integration.processes import unexplained, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 600), func_only=True)]

TASKS = sized(100, 500)
RATE = 0.2
LOST = Failing(code="UNAVAILABLE", stored=True)


class ByChance:
    """In place of what `Faults` counts down: a fifth of the creations, and of the dispatches, goes wrong."""

    def __init__(self) -> None:
        self._chance = random.Random(SEED)
        self.lost = self.cut = self.doubled = 0

    def decide_create(self) -> Failing | None:
        if self._chance.random() >= RATE:
            return None
        self.lost += 1
        return LOST

    def decide_dispatch(self) -> tuple[Cut | None, bool]:
        cut = self._chance.choice(list(Cut)) if self._chance.random() < RATE else None
        double = self._chance.random() < RATE
        self.cut += cut is not None
        self.doubled += double
        return cut, double


def send(stand: Stand, name: str, n: int) -> int:
    """Sends until it is confirmed, as a producer has to. How often a send gave up, which it does after four tries."""
    given_up = 0
    while True:
        try:
            stand.app.send(name, {"n": n})
        except BackendUnavailable:
            given_up += 1
        else:
            return given_up


def test_nothing_is_lost_by_faults_in_a_fifth_of_all(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every effect is there, a retry's included; the worker is the one that was started, and no task is dead."""
    chance = ByChance()
    monkeypatch.setattr(Faults, "next_create", lambda _: chance.decide_create())
    monkeypatch.setattr(Faults, "next_dispatch", lambda _: chance.decide_dispatch())
    worker = stand.start()
    stand.ready()
    for name in ("effect", "flaky"):
        stand.app.task(name)(parameters)
    given_up = 0
    for n in range(TASKS):
        given_up += send(stand, "flaky" if n % 5 == 0 else "effect", n)
    wait_until(lambda: len(stand.effects()) == TASKS, within=sized(60, 300), what="every task has run")
    stand.wait_empty(60)
    assert worker.poll() is None, stand.log()
    seen = stand.effects()
    repeats = sum(seen.values()) - len(seen)
    with capsys.disabled():
        print(
            f"\n[push, faults] seed {SEED}: {len(seen):,} of {TASKS:,} effects, {repeats} repeated; replies lost:"
            f" {chance.lost} (sends given up: {given_up}), dispatches cut: {chance.cut}, doubled: {chance.doubled}"
        )
    assert set(range(TASKS)) == set(seen)
    assert chance.lost
    assert chance.cut
    assert chance.doubled
    assert [] == list(stand.client.list_tasks(parent=f"{LOCATION}/queues/default-dlq"))
    assert [] == unexplained(stand.log())
