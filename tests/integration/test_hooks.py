"""The program's own functions around its tasks, in each kind of worker process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloudq.worker.children import START_TRIES

SHOP = """
import os
from pathlib import Path
import cloudq

app = cloudq.App("sqlite:///q.db")


def note(what):
    with Path("notes.txt").open("a") as notes:
        notes.write(f"{what} {os.getpid()}\\n")


@app.on_start
def connect():
    note("start")


@app.on_stop
def close():
    note("stop")


@app.on_dead
def page(dead):
    note(f"dead {dead.task}")


@app.task
def pay(order: int) -> None:
    note("run")
    raise cloudq.DeadLetter("no such order")
"""


def cloudq(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloudq", *arguments, "--app", "shop"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("options", [[], ["--processes", "1"]], ids=["threads", "processes"])
def test_they_are_called_in_the_process_that_runs_the_tasks(tmp_path: Path, options: list[str]) -> None:
    """Once each: before the first task and after the last; for a dead letter in between."""
    (tmp_path / "shop.py").write_text(SHOP)
    for command in (["send", "shop.pay", '{"order": 42}'], ["worker", "--burst", *options]):
        done = cloudq(tmp_path, *command)
        assert 0 == done.returncode, done.stderr
    lines = (tmp_path / "notes.txt").read_text().splitlines()
    assert ["start", "run", "dead shop.pay", "stop"] == [line.rpartition(" ")[0] for line in lines]
    assert 1 == len({line.rpartition(" ")[2] for line in lines})


@pytest.mark.parametrize(
    ("options", "tries"), [([], 1), (["--processes", "1"], START_TRIES)], ids=["threads", "processes"]
)
def test_one_that_fails_at_the_start_is_named(tmp_path: Path, options: list[str], tries: int) -> None:
    """With its traceback, and the worker has failed, also where the program's own function leaves with 0."""
    (tmp_path / "shop.py").write_text(SHOP.replace('note("start")', "raise SystemExit(0)"))
    assert 0 == cloudq(tmp_path, "send", "shop.pay", '{"order": 42}').returncode
    done = cloudq(tmp_path, "worker", "--burst", *options)
    assert done.returncode, done.stderr
    assert tries == done.stderr.count("on_start: connect failed")
    assert "in connect" in done.stderr
