"""Workers die at any moment: nothing is lost. They stop in order: what waited is anybody's at once."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from cloudq import App
from tests.chaos.http_proxy import Counting, HttpProxy
from tests.chaos.scale import SEED, sized
from tests.integration.processes import end, start_worker, wait_until
from tests.integration.sqs.conftest import REGION, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 900), func_only=True)]

TASKS, WORKERS, KILLS = sized((250, 3, 5), (2_000, 4, 40))
PATIENCE = sized(60, 300)

APP = """
import os
import sys
import time
from pathlib import Path

import cloudq

app = cloudq.App({url!r})


@app.task("effect")
def effect(n: int) -> None:
    time.sleep(0.01)
    file = os.open("effects.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"%d\\n" % n)
    os.fsync(file)
    os.close(file)
    time.sleep(0.01)


@app.task("long")
def long(seconds: float) -> None:
    effect(0)
    time.sleep(seconds)


@app.task("held")
def held(n: int) -> None:
    Path("started").touch()
    while not Path("go").exists():
        time.sleep(0.01)
"""


def write_app(folder: Path, place: Place, endpoint: str) -> App:
    url = f"sqs://{REGION}?prefix={place.prefix}&endpoint_url={quote(endpoint, safe='')}"
    (folder / "app.py").write_text(APP.format(url=url))
    app = App(url)
    for name in ("effect", "held"):
        app.task(name)(numbered)
    return app


def numbered(n: int) -> None:
    """The parameters of what the workers' own module does."""


def send(app: App, name: str, numbers: Iterable[int]) -> None:
    app.send_many(app.tasks[name].call(n=n) for n in numbers)


def effects(folder: Path) -> Counter[int]:
    file = folder / "effects.txt"
    return Counter(map(int, file.read_text().split())) if file.exists() else Counter()


def test_nothing_is_lost_when_workers_are_killed_at_random(
    tmp_path: Path, place: Place, queue: str, localstack: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL hits workers again and again, each is started anew: every effect is on the disk."""
    app = write_app(tmp_path, place, localstack)
    arguments = ("--app", "app", "--lease", "4", "--log-level", "error")
    workers = [start_worker(tmp_path, *arguments) for _ in range(WORKERS)]
    chance = random.Random(SEED)
    try:
        for kill in range(KILLS):
            share = range(kill * TASKS // KILLS, (kill + 1) * TASKS // KILLS)
            send(app, "effect", share)
            began = partial(lambda before: len(effects(tmp_path)) > before, share.start)
            wait_until(began, within=60, what="something of it has run")
            time.sleep(chance.uniform(0.0, 0.1))  # the moment of the crash is what varies here
            victim = chance.randrange(WORKERS)
            workers[victim].kill()
            workers[victim].wait()
            workers[victim] = start_worker(tmp_path, *arguments)
        # What a killed worker had in hand is handed over again once its lease is over, and runs again.
        wait_until(
            lambda: len(effects(tmp_path)) == TASKS and place.counts(queue) == (0, 0),
            within=PATIENCE,
            what="every task has run and is settled",
        )
    finally:
        app.close()
        for process in workers:
            process.kill()  # there is nothing left to be given back
            process.wait()
    seen = effects(tmp_path)
    with capsys.disabled():
        repeats = sum(seen.values()) - len(seen)
        print(f"\n[kill -9] seed {SEED}: {len(seen):,} of {TASKS:,} effects after {KILLS} kills, {repeats} repeated")
    assert set(range(TASKS)) == set(seen)
    assert (0, 0) == place.counts(f"{queue}-dlq")


def test_a_task_of_four_visibility_timeouts_runs_once(
    tmp_path: Path, place: Place, queue: str, localstack: str
) -> None:
    """With two workers that poll, a task keeps its lease for as long as it runs."""
    lease = 5
    app = write_app(tmp_path, place, localstack)
    arguments = ("--app", "app", "--lease", str(lease))
    workers = [start_worker(tmp_path, *arguments, log=f"worker-{n}.log") for n in range(2)]
    try:
        app.send("long", {"seconds": 4 * lease})
        wait_until(lambda: bool(effects(tmp_path)), within=60, what="it has started")
        wait_until(lambda: place.counts(queue) == (0, 0), within=60, what="it is settled")
    finally:
        app.close()
        for process in workers:
            end(process)
    assert {0: 1} == effects(tmp_path)
    for n in range(2):
        assert "lost the lease" not in (tmp_path / f"worker-{n}.log").read_text()


def test_what_waits_in_a_stopped_worker_is_given_back_at_once_in_batches(
    tmp_path: Path, place: Place, queue: str, proxy: HttpProxy
) -> None:
    """After SIGTERM, what waited behind a task is receivable, by at most a call for ten and one for the rest."""
    waiting = 40
    counting = proxy.policy = Counting()
    app = write_app(tmp_path, place, proxy.url)
    send(app, "held", range(waiting + 1))
    app.close()
    arguments = ("--concurrency", "1", "--prefetch", str(waiting), "--grace", "60", "--lease", "600")
    process = start_worker(tmp_path, "--app", "app", *arguments)
    try:
        wait_until((tmp_path / "started").exists, within=60, what="a task has started")
        # A poll asks for more only once half of the prefetch is used up.
        wait_until(lambda: place.counts(queue)[1] > waiting // 2 + 1, within=60, what="many are in the worker's hands")
        counting.taken()
        process.terminate()
        took = wait_until(lambda: place.counts(queue) == (waiting, 1), within=30, what="those that wait are given back")
        calls = counting.taken()
        (tmp_path / "go").touch()
        assert 0 == process.wait(60), (tmp_path / "worker.log").read_text()
    finally:
        end(process)
    assert (waiting, 0) == place.counts(queue)
    print(f"\n[sigterm] given back after {took:.2f} s: {dict(calls)}")
    assert calls["ChangeMessageVisibilityBatch"] <= waiting // 10 + 1
