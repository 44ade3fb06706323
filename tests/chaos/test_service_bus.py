"""Azure Service Bus: workers die, connections are cut, answers are lost. Nothing that was sent is."""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import timedelta

import pytest

from tests.chaos.scale import SEED, sized
from tests.integration.processes import unexplained, wait_until
from tests.integration.service_bus import conftest as service_bus
from tests.integration.service_bus.place import PLAIN, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 900), func_only=True)]
place = service_bus.place

# Long enough for a new connection on a busy machine, so that each settlement can be tried again.
LOCK = timedelta(seconds=8)
PATIENCE = sized(60, 300)
TASKS = sized(300, 2_000)
DROPS = sized(4, 20)
WORKERS, KILLS = sized((2, 4), (3, 30))
QUIET = ("--log-level", "error")


def check(place: Place, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All has run, nothing is left; what ran again did so because the service had counted its lock as lost."""
    ran, repeated = place.ran(), place.repeated()
    with capsys.disabled():
        repeats = sum(ran.values()) - len(ran)
        print(f"\n[service bus: {what}] seed {SEED}: {len(ran):,} of {TASKS:,} effects, {repeats} repeated")
    assert set(range(TASKS)) == set(ran)
    assert 0 == place.counts().dead_letter
    for n, deliveries in repeated.items():
        assert sorted(set(deliveries)) == sorted(deliveries), f"{n} ran twice in one delivery: {deliveries}"


def all_done(place: Place) -> bool:
    return len(place.ran()) == TASKS and place.is_empty()


def test_all_effects_are_there_though_connections_are_cut(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """All connections are cut again and again, at once or in the middle of transfers; the workers stay."""
    place.make(PLAIN, LOCK)
    place.send("effect", range(TASKS))
    workers = [place.start(*QUIET, log=f"worker-{n}.log") for n in range(2)]
    chance = random.Random(SEED)
    for drop in range(DROPS):
        due = TASKS * (drop + 1) // (DROPS + 1)
        wait_until(lambda due=due: len(place.effects()) >= due, within=PATIENCE, what=f"{due} have run")  # type: ignore[misc]
        if drop % 2:
            place.emulator.faults.drop_after(chance.randrange(20))
        else:
            place.emulator.faults.drop_connections()
    wait_until(lambda: all_done(place), within=PATIENCE, what="every task has run and is settled")
    check(place, f"{DROPS} cuts", capsys)
    assert [None, None] == [worker.poll() for worker in workers]
    said = place.log("worker-0.log") + place.log("worker-1.log")
    assert [] == unexplained(said)
    assert "is given up" not in said  # a settlement that met a cut is tried again


def test_nothing_is_lost_when_workers_are_killed_at_random(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGKILL hits workers again and again, each is started anew: every effect is on the disk."""
    place.make(PLAIN, LOCK)
    place.send("effect", range(TASKS))
    workers = [place.start(*QUIET) for _ in range(WORKERS)]
    chance = random.Random(SEED)
    for kill in range(KILLS):
        due = TASKS * (kill + 1) // (KILLS + 2)
        wait_until(lambda due=due: len(place.effects()) >= due, within=PATIENCE, what=f"{due} have run")  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 0.05))  # the moment of the crash is what varies here
        victim = chance.randrange(WORKERS)
        workers[victim].kill()
        workers[victim].wait()
        workers[victim] = place.start(*QUIET)
    wait_until(lambda: all_done(place), within=PATIENCE, what="every task has run and is settled")
    check(place, f"{KILLS} kills", capsys)


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_settlements_without_an_answer_lose_nothing(
    place: Place, applied: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some settlements stay unanswered, carried out or not: all tasks run, and none that was completed runs again."""
    lost = sized(5, 50)
    place.make(PLAIN, timedelta(seconds=20))
    place.emulator.faults.lose_settlements(applied=applied, times=lost)
    place.send("effect", range(TASKS))
    place.start(*QUIET)
    wait_until(lambda: all_done(place), within=PATIENCE, what="every task has run and is settled")
    check(place, f"{lost} answers lost, {applied=}", capsys)
    assert Counter(range(TASKS)) == place.ran()
    assert [] == unexplained(place.log())
