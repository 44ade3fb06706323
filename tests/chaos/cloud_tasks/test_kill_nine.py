"""Push workers die at any moment, and are away for a while: the service pushes again, and nothing is lost."""

from __future__ import annotations

import random
import time
from functools import partial

import pytest

from cloudq.emulators.cloud_tasks import End
from tests.chaos.cloud_tasks.stand import LOCATION, Stand, parameters
from tests.chaos.scale import SEED, sized
from tests.integration.processes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 900), func_only=True)]

TASKS, KILLS = sized((150, 2), (2_000, 25))
AWAY = sized(0.3, 20.0)


def test_nothing_is_lost_when_the_worker_is_killed_and_away(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody listens at first, then SIGKILL hits the worker again and again: every effect is on the disk."""
    effect = stand.app.task("effect")(parameters)
    chance = random.Random(SEED)
    shares = [range(part * TASKS // (KILLS + 1), (part + 1) * TASKS // (KILLS + 1)) for part in range(KILLS + 1)]
    stand.app.send_many(effect.call(n=n) for n in shares[0])
    time.sleep(AWAY)  # the target is down for so long
    wait_until(lambda: bool(stand.emulator.attempts()), within=60, what="it was pushed to")
    assert {End.UNREACHABLE} == {attempt.end for attempt in stand.emulator.attempts()}
    worker = stand.start()
    for share in shares[1:]:
        began = partial(lambda before: len(stand.effects()) > before, share.start - len(shares[0]))
        wait_until(began, within=60, what="some of the last share have run")
        stand.app.send_many(effect.call(n=n) for n in share)
        time.sleep(chance.uniform(0.0, 0.1))  # the moment of the crash is what varies here
        worker.kill()
        worker.wait()
        worker = stand.start()
    wait_until(lambda: len(stand.effects()) == TASKS, within=sized(60, 300), what="every task has run")
    stand.wait_empty(60)
    assert worker.poll() is None, stand.log()
    seen = stand.effects()
    attempts = stand.emulator.attempts()
    repeats = sum(seen.values()) - len(seen)
    with capsys.disabled():
        refused = sum(attempt.end is End.UNREACHABLE for attempt in attempts)
        print(
            f"\n[push, kill -9] seed {SEED}: {len(seen):,} of {TASKS:,} effects, {KILLS} kills, {repeats} repeated;"
            f" {len(attempts):,} attempts, {refused:,} without an answer"
        )
    assert set(range(TASKS)) == set(seen)
    assert [] == list(stand.client.list_tasks(parent=f"{LOCATION}/queues/default-dlq"))
