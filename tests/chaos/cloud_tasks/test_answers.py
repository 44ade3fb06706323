"""A fifth of the service's answers are cut, emptied or a web page, and nothing that was accepted is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from cloudq import App, Call, SendManyError
from cloudq.emulators.cloud_tasks import VARIABLE, CloudTasksEmulator
from cloudq.errors import TransientError
from tests.chaos.cloud_tasks.liar import Liar
from tests.chaos.cloud_tasks.stand import LOCATION, Stand, parameters
from tests.chaos.scale import SEED, sized
from tests.integration.processes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(180, 900), func_only=True)]

TASKS: Final = sized(300, 2_000)
RATE: Final = 0.2
AT_ONCE: Final = sized(5, 20)


@pytest.fixture
def liar(emulator: CloudTasksEmulator) -> Iterator[Liar]:
    with Liar(emulator.address, RATE, SEED) as liar:
        yield liar


def send(app: App, calls: list[Call[None]]) -> tuple[int, int]:
    """Sends until each is confirmed, as a producer has to: half of them in batches. How often it had to send again."""
    again = alone = 0
    for start in range(0, len(calls), 2 * AT_ONCE):
        left = calls[start : start + AT_ONCE]
        while left:
            try:
                app.send_many(left)
            except SendManyError as error:
                errors = [one for one in error.results if isinstance(one, Exception)]
                assert all(isinstance(one, TransientError) for one in errors), errors
                left = list(error.failed)
                again += len(left)
            else:
                break
        for call in calls[start + AT_ONCE : start + 2 * AT_ONCE]:
            while True:
                try:
                    app.send_many([call])
                except SendManyError:
                    alone += 1
                else:
                    break
    return again, alone


def test_nothing_accepted_is_lost_by_answers_that_are_none(
    tmp_path: Path,
    emulator: CloudTasksEmulator,
    liar: Liar,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of the producer's calls and the worker's: every task that was accepted runs, each retry and each dead letter is
    there; what was sent in batches is stored once however often it had to be sent.
    """
    with Stand(tmp_path, emulator, monkeypatch, proxy=liar) as stand:
        monkeypatch.setenv(VARIABLE, liar.address)
        tasks = [stand.app.task(name)(parameters) for name in ("effect", "flaky", "dies")]
        worker = stand.start()
        stand.ready()
        again, alone = send(stand.app, [tasks[2 if n % 50 == 0 else n % 5 == 0].call(n=n) for n in range(TASKS)])
        living = {n for n in range(TASKS) if n % 50}
        wait_until(lambda: set(stand.effects()) >= living, within=sized(60, 400), what="every task has run")
        liar.stop_lying()
        stand.wait_empty(60)
        letters = stand.app.queue("default").dead_letters
        dead = [letter.message.payload["n"] for letter in letters.peek(limit=10_000) if letter.message is not None]
        assert worker.poll() is None, stand.log()
        repeats = stand.effects().total() - len(living)
        names = [task.name for task in stand.client.list_tasks(parent=f"{LOCATION}/queues/default-dlq")]
        with capsys.disabled():
            print(
                f"\n[answers] seed {SEED}: {TASKS:,} tasks, 0 lost, {repeats} ran again; {liar.told.total()} answers"
                f" were none: {dict(sorted(liar.told.items()))}; sent again: {again} of batches, {alone} alone"
            )
    assert living == set(stand.effects())
    assert {n for n in range(TASKS) if n % 50 == 0} == set(dead)
    assert len(names) == len(set(names))
    assert liar.told.total() > TASKS / 100
