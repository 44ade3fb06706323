"""The tasks of workers whose clocks are set and whose settlements fail. Copied into a folder of the test's own."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any
from uuid import uuid4

import cloudq
from cloudq.core.driver import Final, SettleResult
from cloudq.errors import BackendUnavailable

app = cloudq.App()
FAILING = 0.2
GLANCE = 0.02
# A run that was stopped for so long may have lost its lease; its worker is given some time to say so.
STOPPED = 0.5
NOTICE = 5.0
_notes = os.open("runs.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@app.task("work")
def work(context: cloudq.Context, n: int, seconds: float) -> None:
    """Works for so long, unless it is told that its lease is lost, and notes when it began and ended."""
    run = uuid4().hex
    began = seen = time.monotonic()
    note("start", n, run)
    stopped = 0.0
    while time.monotonic() - began < seconds and not context.lease_lost.wait(GLANCE):
        stopped = max(stopped, time.monotonic() - seen)
        seen = time.monotonic()
    if max(stopped, time.monotonic() - seen) > STOPPED:
        context.lease_lost.wait(NOTICE)
    note("lost" if context.lease_lost.is_set() else "kept", n, run)


def note(what: str, n: int, run: str) -> None:
    """One line, at once, in one piece."""
    os.write(_notes, f"{what} {n} {run} {os.getpid()} {time.monotonic()}\n".encode())


def fail_settlements(module: str, name: str) -> None:
    """Has a fifth of a driver's settlements fail: half of these are carried out all the same."""
    driver: Any = getattr(import_module(module), name)
    settle: Callable[[Any, Sequence[Final]], Sequence[SettleResult]] = driver.settle
    chance = random.Random(os.getpid())

    def failing(self: Any, finals: Sequence[Final]) -> Sequence[SettleResult]:
        if chance.random() >= FAILING:
            return settle(self, finals)
        if chance.random() < 0.5:
            settle(self, finals)
        return [SettleResult(error=BackendUnavailable("made up: the answer was lost"))] * len(finals)

    driver.settle = failing


if os.environ.get("FAILING_DRIVER"):
    fail_settlements(*os.environ["FAILING_DRIVER"].split(":"))
