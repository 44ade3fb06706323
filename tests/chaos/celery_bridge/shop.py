"""The same shop as cloudq has it.

`DIE_AFTER=n`: the process is killed once its backend has stored for the nth time. `BRIDGE_LEASE=n`: what it reads from
SQS is hidden for so many seconds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import cloudq
from cloudq.compat.celery.bridge import sqs_queue
from cloudq.core.driver import Outgoing, SendResult
from cloudq.drivers.sqlite.driver import SQLiteDriver

Send = Callable[[SQLiteDriver, Sequence[Outgoing]], Sequence[SendResult]]

app = cloudq.App(os.environ["SHOP_URL"])


@app.task("shop.add")
def add(n: int, note: str = "") -> None:
    _ran(n)


@app.task("shop.ordered", queue="ordered.fifo")
def ordered(n: int) -> None:
    _ran(n)


@app.task("shop.at")
def at(n: int, moment: datetime) -> None:
    _ran(n)


@app.task("shop.flaky")
def flaky(n: int) -> None:
    _ran(n)


def _ran(n: int) -> None:
    file = os.open(Path(os.environ["SHOP_LEDGER"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"%d\n" % n)
    os.close(file)


def dying(send: Send, after: int) -> Send:
    """The driver's `send`, with the worst of all moments behind it: stored there, and not taken out here."""
    left = after

    def dies(driver: SQLiteDriver, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        nonlocal left
        results = send(driver, outgoing)
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return results

    return dies


if lease := int(os.environ.get("BRIDGE_LEASE", "0")):
    sqs_queue.LEASE = timedelta(seconds=lease)
if die_after := int(os.environ.get("DIE_AFTER", "0")):
    SQLiteDriver.send = dying(SQLiteDriver.send, die_after)
