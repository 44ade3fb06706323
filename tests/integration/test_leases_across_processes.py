"""Guarantee 4 between processes: a lease is kept while its task runs, and what is waiting is given back at a stop."""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

import cloudq
from cloudq.core.driver import QueueStats
from cloudq.drivers.sqlite import SQLiteDriver
from tests.integration.processes import wait_until, worker

LONG = """
import os, time
import cloudq

app = cloudq.App("sqlite:///queue.db")


def note(text):
    file = os.open("log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, text.encode() + b"\\n")
    os.close(file)


@app.task("long")
def long(number: int, seconds: float) -> None:
    note(f"start {number}")
    time.sleep(seconds)
    note(f"end {number}")


@app.task("held")
def held(number: int) -> None:
    note(f"start {number}")
    while not os.path.exists("go"):
        time.sleep(0.05)
    note(f"end {number}")
"""


def lines(folder: Path) -> list[str]:
    file = folder / "log.txt"
    return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def app(tmp_path: Path) -> cloudq.App:
    (tmp_path / "app.py").write_text(LONG)
    return cloudq.App(f"sqlite:///{tmp_path}/queue.db")


@pytest.mark.slow
def test_a_task_of_three_leases_runs_once_with_two_workers(tmp_path: Path, app: cloudq.App) -> None:
    """Two workers, a lease of 4 s, a task of 12 s: one start, one end."""
    app.send("long", {"number": 1, "seconds": 12})
    empty = QueueStats(ready=0, delayed=0, in_flight=0, dead=0)
    # A lease is extended half-way: a worker that a busy machine keeps waiting for more than that loses it rightly.
    arguments = ("--app", "app", "--lease", "4", "--log-level", "error")
    with worker(tmp_path, *arguments), worker(tmp_path, *arguments):
        wait_until(lambda: "end 1" in lines(tmp_path), within=60, what="the task has ended")
        wait_until(lambda: app.queue("default").stats() == empty, within=60, what="nothing is left to run")
    app.close()
    assert ["start 1", "end 1"] == lines(tmp_path)


@pytest.mark.slow
def test_a_frozen_worker_does_not_run_a_second_time_what_it_still_runs(tmp_path: Path, app: cloudq.App) -> None:
    """A worker that was stopped for two leases gets its own task again while it runs, which is done once."""
    lease, seconds = 2.0, 9.0  # so that the task outlasts the freeze, and the wait for it
    app.send("long", {"number": 1, "seconds": seconds})
    with worker(tmp_path, "--app", "app", "--lease", f"{lease:g}", "--wait", "0.5") as process:
        wait_until(lambda: "start 1" in lines(tmp_path), within=60, what="the task has started")
        process.send_signal(signal.SIGSTOP)
        time.sleep(2 * lease)  # what is measured: a freeze of two leases
        process.send_signal(signal.SIGCONT)
        stats = app.queue("default").stats
        wait_until(lambda: "end 1" in lines(tmp_path), within=60, what="the task has ended")
        wait_until(
            lambda: (stats().in_flight, stats().ready, stats().delayed) == (0, 0, 0), within=60, what="all is done"
        )
    log = (tmp_path / "worker.log").read_text()
    assert "lost the lease" in log
    assert ["start 1", "end 1"] == lines(tmp_path), log
    app.close()


@pytest.mark.slow
def test_sigterm_finishes_what_runs_and_gives_back_what_waits(tmp_path: Path, app: cloudq.App) -> None:
    """20 running, most others waiting: at SIGTERM the running ones finish, the 50 others are receivable before that."""
    app.send_many(app.task("held")(_signature).call(number=number) for number in range(70))
    stats = app.queue("default").stats
    arguments = ("--app", "app", "--concurrency", "20", "--prefetch", "50", "--grace", "100", "--log-level", "error")
    with worker(tmp_path, *arguments) as process:
        # The first poll of a queue is for few, so the next one finds some waiting and brings fewer than all.
        wait_until(lambda: len(lines(tmp_path)) == 20 and stats().in_flight >= 55, within=60, what="20 run and 35 wait")
        process.send_signal(signal.SIGTERM)
        other = SQLiteDriver(tmp_path / "queue.db")
        start = time.monotonic()
        received: set[str] = set()
        while len(received) < 50 and time.monotonic() - start < 60:
            got = other.receive("default", limit=50, wait=timedelta(seconds=1), lease=timedelta(seconds=300))
            received |= {delivery.id for delivery in got}
        assert 50 == len(received)
        assert 20 == len(lines(tmp_path)), "none that runs has ended"
        (tmp_path / "go").touch()
        assert 0 == process.wait(60)
    assert 20 == sum(line.startswith("start") for line in lines(tmp_path))
    assert 20 == sum(line.startswith("end") for line in lines(tmp_path))
    assert 50 == stats().in_flight  # those that the other client took; the twenty are done
    other.close()
    app.close()


def _signature(number: int) -> None:
    """The parameters of the worker's task."""
