"""The program's own functions around its tasks, in each kind of worker process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("options", [[], ["--processes", "1"]], ids=["threads", "processes"])
def test_they_are_called_in_the_process_that_runs_the_tasks(tmp_path: Path, options: list[str]) -> None:
    """Once each: before the first task and after the last; for a dead letter in between."""
    (tmp_path / "shop.py").write_text(SHOP)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for command in (["send", "shop.pay", '{"order": 42}'], ["worker", "--burst", *options]):
        done = subprocess.run(
            [sys.executable, "-m", "cloudq", *command, "--app", "shop"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
    lines = (tmp_path / "notes.txt").read_text().splitlines()
    assert ["start", "run", "dead shop.pay", "stop"] == [line.rpartition(" ")[0] for line in lines]
    assert 1 == len({line.rpartition(" ")[2] for line in lines})
