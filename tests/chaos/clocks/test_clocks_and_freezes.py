"""Wall clocks of workers are set, workers are frozen, settlements fail: nothing is lost, nothing runs twice at once.

Three workers with a lease that most tasks don't need and some need three times over. Each worker's wall clock
(`time.time`, `datetime.now`, the C library's) steps by an hour and by seconds, forwards and backwards, as if somebody
set it; now and then a worker is stopped for two leases.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq import App
from tests.chaos.clocks.runs import beside_themselves, finished, read_runs, untold
from tests.chaos.clocks.wall_clock import WallClock, compiled
from tests.chaos.scale import SEED, sized
from tests.chaos.stands import BACKENDS, LEASE, Stand
from tests.integration.processes import end, start_worker, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(180, 1800), func_only=True)]

TASKS, WORKERS = sized((150, 3), (2_000, 3))
FREEZES = sized(1, 8)
PATIENCE = sized(120, 900)
STEPS = tuple(timedelta(seconds=seconds) for seconds in (3600, -3600, 5, -5, 0))


@contextmanager
def disturbed(workers: list[subprocess.Popen[bytes]], clocks: list[WallClock], chance: random.Random) -> Iterator[None]:
    """Within the block the workers' clocks are set at random; at its end they are right again."""
    over = threading.Event()

    def disturb() -> None:
        while not over.wait(chance.uniform(0.1, 0.8)):
            chance.choice(clocks).set(chance.choice(STEPS))

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for clock in clocks:
            clock.set(timedelta(0))


def freeze(worker: subprocess.Popen[bytes]) -> None:
    """Stops a worker for two leases, as a debugger, a full cgroup or a laptop's lid does."""
    worker.send_signal(signal.SIGSTOP)
    threading.Event().wait(2 * LEASE.total_seconds())  # the time that passes is what this is about
    worker.send_signal(signal.SIGCONT)


def seconds_of(n: int, chance: random.Random) -> float:
    """How long a task takes: most are short, one of twenty takes up to three leases."""
    return chance.uniform(0.5, 3) * LEASE.total_seconds() if n % 20 == 0 else chance.uniform(0, 0.1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_clocks_that_are_set_and_workers_that_freeze_lose_nothing(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every task runs to its end, none beside itself in one process, and who lost a lease is told."""
    library = compiled(tmp_path)
    stand: Stand = request.getfixturevalue(backend)
    shutil.copy(Path(__file__).with_name("work.py"), tmp_path)
    app = App(stand.url)
    app.task("work")(parameters_of_work)
    chance = random.Random(SEED)
    app.send_many(app.tasks["work"].call(n=n, seconds=seconds_of(n, chance)) for n in range(TASKS))
    clocks = [WallClock(library, tmp_path / f"clock-{n}") for n in range(WORKERS)]
    arguments = ("--app", "work", "--lease", f"{LEASE.total_seconds():g}", "--concurrency", "8")
    env = {"CLOUDQ_URL": stand.url, "FAILING_DRIVER": stand.driver, **stand.environment}
    workers = [
        start_worker(tmp_path, *arguments, log=f"worker-{n}.log", **env, **clock.environment)
        for n, clock in enumerate(clocks)
    ]
    notes = tmp_path / "runs.txt"
    try:
        with disturbed(workers, clocks, chance):
            for number in range(FREEZES):
                due = TASKS * (number + 1) // (FREEZES + 2)
                wait_until(lambda due=due: len(finished(read_runs(notes))) >= due, within=PATIENCE, what=f"{due} ran")  # type: ignore[misc]
                freeze(workers[number % WORKERS])
            wait_until(lambda: len(finished(read_runs(notes))) == TASKS, within=PATIENCE, what="each task has run")
        wait_until(lambda: is_empty(app), within=PATIENCE, what="each message is settled")
        assert [None] * WORKERS == [worker.poll() for worker in workers]
    finally:
        for worker in workers:
            end(worker)
        for clock in clocks:
            clock.close()
    runs = read_runs(notes)
    dead = app.queue("default").stats().dead
    app.close()
    with capsys.disabled():
        print(
            f"\n[clocks and freezes: {backend}] seed {SEED}: {len(finished(runs)):,} of {TASKS:,} tasks, "
            f"{len(runs) - TASKS} repeated, {sum(run.lost for run in runs)} told of a lost lease"
        )
    assert [] == beside_themselves(runs)
    assert [] == untold(runs)
    assert dead in {0, None}


def parameters_of_work(n: int, seconds: float) -> None:
    """The parameters of what the workers' own module does."""


def is_empty(app: App) -> bool:
    """Whether nothing waits and nothing is in hand."""
    stats = app.queue("default").stats()
    return not stats.ready and not stats.delayed and not stats.in_flight


def test_the_wall_clock_of_a_process_is_set_while_it_runs(tmp_path: Path) -> None:
    """Of a new process: Python's clocks and the C library's move, the monotonic one doesn't."""
    clock = WallClock(compiled(tmp_path), tmp_path / "clock")
    script = (
        "import ctypes, datetime, time, sys\n"
        "while sys.stdin.readline():\n"
        "    print(time.time(), datetime.datetime.now().timestamp(), ctypes.CDLL(None).time(None),"
        " time.monotonic(), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, **clock.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        before = ask(process)
        clock.set(timedelta(hours=-1))
        after = ask(process)
    clock.close()
    moved = [round(after[index] - before[index], -2) for index in range(4)]
    assert [-3600, -3600, -3600, 0] == moved


def ask(process: subprocess.Popen[str]) -> list[float]:
    """What the clocks of a process say."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return [float(word) for word in process.stdout.readline().split()]
