"""Guarantee 1: nothing accepted is lost by a crash of any process at any instruction."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.processes import end, start_python, start_worker

APP = """
import os
import cloudq

app = cloudq.App("sqlite:///queue.db")


@app.task("effect")
def effect(number: int) -> None:
    # One small append is one write: two processes can't mix their lines.
    file = os.open("effects.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"%d\\n" % number)
    os.close(file)
"""
SEND = """
import sys
from app import app, effect
first, count = int(sys.argv[1]), int(sys.argv[2])
for start in range(first, first + count, 50):
    app.send_many(effect.call(number=number) for number in range(start, start + 25))
    for number in range(start + 25, start + 50):
        effect.send(number=number)
app.close()
"""
TASKS, SENDERS, WORKERS, KILLS = 10_000, 4, 4, 30


def effects(folder: Path) -> Counter[int]:
    file = folder / "effects.txt"
    return Counter(map(int, file.read_text().split())) if file.exists() else Counter()


def messages(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "queue.db")) as database:
        count: int = database.execute("SELECT count(*) FROM message").fetchone()[0]
        return count


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_effect_is_missing_after_workers_were_killed_thirty_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """10,000 tasks of 4 senders, 4 workers killed by SIGKILL at random 30 times: each effect is there."""
    (tmp_path / "app.py").write_text(APP)
    each = TASKS // SENDERS
    senders = [start_python(tmp_path, SEND, str(number * each), str(each)) for number in range(SENDERS)]
    arguments = ("--app", "app", "--lease", "3", "--log-level", "error")
    workers = [start_worker(tmp_path, *arguments) for _ in range(WORKERS)]
    chance = random.Random(20261120)
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.05, 0.5))  # the moment of the crash is what varies here
            victim = chance.randrange(WORKERS)
            workers[victim].kill()
            workers[victim].wait()
            workers[victim] = start_worker(tmp_path, *arguments)
        assert [0] * SENDERS == [sender.wait(240) for sender in senders]
        deadline = time.monotonic() + 240
        # What a killed worker had in hand is handed over again once its lease is over, and runs again.
        while (len(effects(tmp_path)) < TASKS or messages(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        for process in (*senders, *workers):
            end(process)
    seen = effects(tmp_path)
    repeats = sum(seen.values()) - len(seen)
    with capsys.disabled():
        print(f"\n[kill -9] {len(seen):,} of {TASKS:,} effects present after {KILLS} kills, {repeats} repeated")
    assert set(range(TASKS)) == set(seen)
    with closing(sqlite3.connect(tmp_path / "queue.db")) as database:
        assert [("ok",)] == database.execute("PRAGMA integrity_check").fetchall()
    assert 0 == messages(tmp_path)


BATCHES = """
import os
import signal
import sqlite3
import time

import cloudq

app = cloudq.App("sqlite:///queue.db")


@app.task("quick")
def quick(number: int) -> None:
    file = os.open("effects.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"%d\\n" % number)
    os.close(file)
    if number == 100 and not os.path.exists("died"):
        open("died", "w").close()
        database = sqlite3.connect("queue.db")
        until = time.monotonic() + 30
        # What has ended is settled, and what waited is run by the other thread.
        while database.execute("SELECT count(*) FROM message").fetchone() != (1,) and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGKILL)
"""
SEND_QUICK = """
from app import app, quick
for number in range(140):
    quick.send(number=number)
app.close()
"""


@pytest.mark.timeout(300)
def test_a_kill_in_the_middle_of_a_batch_repeats_only_what_ran(tmp_path: Path) -> None:
    """A thread works off short tasks, and its process dies in one that takes long: only that one is repeated.

    What had ended before is settled though the thread was busy; what waited was handed on, or is handed over again.
    """
    (tmp_path / "app.py").write_text(BATCHES)
    assert 0 == start_python(tmp_path, SEND_QUICK).wait(60)
    arguments = ("--app", "app", "--lease", "3", "--concurrency", "2", "--log-level", "error")
    first = start_worker(tmp_path, *arguments)
    try:
        assert -9 == first.wait(60)
        second = start_worker(tmp_path, *arguments)
        deadline = time.monotonic() + 60
        while (len(effects(tmp_path)) < 140 or messages(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.2)
        end(second)
    finally:
        end(first)
    assert Counter({**dict.fromkeys(range(140), 1), 100: 2}) == effects(tmp_path)
    assert 0 == messages(tmp_path)
