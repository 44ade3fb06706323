"""What tasks depend on, in child processes: made and closed for each attempt, and once for each process."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import cloudq
from tests.integration.processes import wait_until, worker

pytestmark = pytest.mark.slow

# Each note is one write, with the process that made it.
TASKS = """
import asyncio, os, time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from tenacity import stop_after_attempt, wait_fixed
import cloudq
from cloudq import INJECTED, Depends

AGAIN = cloudq.RetryPolicy(stop=stop_after_attempt(2), wait=wait_fixed(0))
app = cloudq.App("sqlite:///queue.db", retry=AGAIN)


def note(text):
    file = os.open("log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{os.getpid()} {text}".encode() + b"\\n")
    os.close(file)


def said(error):
    return "time limit" if isinstance(error, cloudq.TimeLimitExceeded) else type(error).__name__


def get_pool() -> Iterator[str]:
    note("pool opened")
    yield "pool"
    note("pool closed")


def get_session(
    context: cloudq.Context, pool: Annotated[str, Depends(get_pool, scope="process")]
) -> Iterator[str]:
    note(f"{context.message.task} opened")
    try:
        yield pool
    except BaseException as error:
        note(f"{context.message.task} closed by {said(error)}")
        raise
    else:
        note(f"{context.message.task} closed")


async def aget_session(context: cloudq.Context) -> AsyncIterator[str]:
    note(f"{context.message.task} opened")
    try:
        yield "asession"
    except BaseException as error:
        note(f"{context.message.task} closed by {said(error)}")
        raise
    else:
        note(f"{context.message.task} closed")


Session = Annotated[str, Depends(get_session)]
ASession = Annotated[str, Depends(aget_session)]


@app.task("done")
def done(session: Session = INJECTED) -> None:
    assert session == "pool"


@app.task("adone")
async def adone(session: ASession = INJECTED) -> None:
    assert session == "asession"


@app.task("fails")
def fails(session: Session = INJECTED) -> None:
    raise ValueError


@app.task("dies")
def dies(session: Session = INJECTED) -> None:
    raise cloudq.DeadLetter("no such order")


@app.task("late", time_limit=timedelta(seconds=0.5))
def late(session: Session = INJECTED) -> None:
    time.sleep(60)


@app.task("alate", time_limit=timedelta(seconds=0.5))
async def alate(session: ASession = INJECTED) -> None:
    await asyncio.sleep(60)


@app.task("waits")
def waits(session: Session = INJECTED) -> None:
    note("waits begun")
    while not Path("go").exists():
        time.sleep(0.01)
"""
# Of each, how its attempts end: a dependency is told at its `yield`.
ENDS = {
    "done": ["closed"],
    "adone": ["closed"],
    "fails": ["closed by ValueError"] * 2,
    "dies": ["closed by DeadLetter"],
    "late": ["closed by time limit"] * 2,
    "alate": ["closed by CancelledError"] * 2,  # as `asyncio.timeout` has it
}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[cloudq.App]:
    (tmp_path / "app.py").write_text(TASKS)
    app = cloudq.App(f"sqlite:///{tmp_path}/queue.db")
    yield app
    app.close()


def notes(folder: Path) -> dict[str, list[str]]:
    """What each process noted, in order."""
    by_process: dict[str, list[str]] = {}
    file = folder / "log.txt"
    for line in file.read_text().splitlines() if file.exists() else ():
        pid, _, what = line.partition(" ")
        by_process.setdefault(pid, []).append(what)
    return by_process


def test_they_are_closed_on_every_outcome(tmp_path: Path, app: cloudq.App) -> None:
    """An attempt's with it, whatever it ends by; the process's after its last task, and once in each child."""
    for task in ENDS:
        for _ in range(2):
            app.send(task, {}, queue="default")
    with worker(tmp_path, "--app", "app", "--processes", "2", "--burst") as process:
        assert 0 == process.wait(90)
    by_process = notes(tmp_path)
    for lines in by_process.values():
        attempts = [line for line in lines if not line.startswith("pool ")]
        opened, closed = attempts[::2], attempts[1::2]
        # One attempt after the other in a child: each is closed before the next begins.
        assert [line.removesuffix(" opened") for line in opened] == [line.partition(" closed")[0] for line in closed]
        pool = [line for line in lines if line.startswith("pool ")]
        assert pool in ([], ["pool opened", "pool closed"])  # where no task of that child has asked for it
        assert not pool or lines[-1] == "pool closed"
    seen = Counter(line for lines in by_process.values() for line in lines if " closed" in line)
    del seen["pool closed"]
    assert Counter(f"{task} {how}" for task, ends in ENDS.items() for how in ends * 2) == seen


def test_they_are_closed_at_the_end_of_a_worker(tmp_path: Path, app: cloudq.App) -> None:
    """At SIGTERM a running task ends, then what it has, and then what the process has."""
    app.send("waits", {}, queue="default")
    with worker(tmp_path, "--app", "app", "--processes", "1") as process:
        wait_until(lambda: "waits begun" in str(notes(tmp_path)), within=60, what="it runs")
        process.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        assert 0 == process.wait(60)
    [lines] = notes(tmp_path).values()
    assert ["pool opened", "waits opened", "waits begun", "waits closed", "pool closed"] == lines
