"""The tasks of these tests. Workers run a copy of it, in the folder where they leave what they note."""

from __future__ import annotations

import os
import random
import time
import uuid
from datetime import timedelta
from pathlib import Path

from tenacity import stop_never, wait_none

import cloudq

app = cloudq.App()


def note(name: str, *words: object) -> None:
    """One line, written at once: other processes write to the file, too."""
    file = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (" ".join(map(str, words)) + "\n").encode())
    os.close(file)


@app.task("effect")
def effect(context: cloudq.Context, n: int) -> None:
    time.sleep(0.005)
    note("effects.txt", n, context.deliveries)
    time.sleep(0.005)


@app.task("flaky", retry=cloudq.RetryPolicy())
def flaky(context: cloudq.Context, n: int, delay: float) -> None:
    note("tries.txt", n, context.attempt, time.time())
    if context.attempt == 1:
        raise cloudq.Retry(reason="once more", delay=timedelta(seconds=delay))
    note("effects.txt", n, context.deliveries)


@app.task("bad")
def bad(n: int) -> None:
    if not Path("mended").exists():
        raise cloudq.DeadLetter(f"number {n} is no good")
    note("effects.txt", n, 1)


@app.task("long")
def long(context: cloudq.Context, n: int, seconds: float) -> None:
    note("started.txt", n, context.deliveries, os.getpid())
    time.sleep(seconds)
    note("effects.txt", n, context.deliveries)


@app.task("burn")
def burn(n: int, seconds: float) -> None:
    note("started.txt", n, 1)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))
    note("effects.txt", n, 1)


@app.task("held")
def held(n: int) -> None:
    note("started.txt", n, 1)
    while not Path("go").exists():
        time.sleep(0.01)


@app.task("step", queue="orders.fifo", retry=cloudq.RetryPolicy(stop=stop_never, wait=wait_none()))
def step(key: str, n: int, fails: float = 0.0, dies: bool = False) -> None:
    note("steps.txt", key, n, "begun")
    if dies:
        note("steps.txt", key, n, "done")
        raise cloudq.DeadLetter(f"{key} {n} was to die")
    if random.random() < fails:
        raise cloudq.Retry(reason="by chance", delay=timedelta(milliseconds=random.choice((0, 0, 20))))
    note("steps.txt", key, n, "done")


@app.task("watched", queue="orders.fifo")
def watched(context: cloudq.Context, key: str, n: int, seconds: float) -> None:
    """Notes when it began, and when it heard that its lease is lost or was done, by a clock that processes share."""
    run = uuid.uuid4().hex
    note("watched.txt", run, key, n, "begun", time.monotonic())
    lost = context.lease_lost.wait(seconds)
    note("watched.txt", run, key, n, "lost" if lost else "done", time.monotonic())
