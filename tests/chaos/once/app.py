"""The workers' own module in `test_once.py`: tasks whose effect is a row, and points at which a worker is killed.

A point is between any two of claim, effect, completion and acknowledgement. Whoever comes to one while a ticket for it
is left takes the ticket, notes which message it was at, and kills its own process by SIGKILL.
"""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import event, text

import cloudq
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Final, Release, SettleResult
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.running.held_claim import HeldClaim
from cloudq.user_database import Statement, inbox

FOLDER = Path(os.environ["ONCE_FOLDER"])
MODE = os.environ["ONCE_MODE"]
"""`transaction`, `no completion` (the same with the inbox's insertion left out), or `claim` (no transaction at all)."""

app = cloudq.App(os.environ["ONCE_QUEUE"], store=os.environ["ONCE_STORE"])
LEASE = timedelta(seconds=float(os.environ["ONCE_LEASE"]))
engine = sqlalchemy.create_engine(os.environ["ONCE_DATABASE"], pool_size=2)
here: list[object] = ["nothing"]


def point(name: str) -> None:
    """Kills the process if it is time for that."""
    try:
        os.rename(FOLDER / f"{name}.ticket", FOLDER / f"{name}.{os.getpid()}")  # noqa: PTH104 - one of all gets it
    except FileNotFoundError:
        return
    (FOLDER / f"killed.{name}.{os.getpid()}").write_text(str(here[0]))
    os.kill(os.getpid(), signal.SIGKILL)


def before_and_after(owner: type, method: str, before: str | None, after: str | None) -> None:
    """Points around a method."""
    original: Callable[..., Any] = getattr(owner, method)

    def around(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            point(before)
        result = original(*args, **kwargs)
        if after is not None:
            point(after)
        return result

    setattr(owner, method, around)


def settle(self: SQLiteDriver, finals: Sequence[Final]) -> Sequence[SettleResult]:
    """Points around the acknowledgement."""
    point("acknowledging")
    results = _settle(self, finals)
    point("acknowledged")
    return results


def receive(self: SQLiteDriver, queue: str, **how: Any) -> Sequence[Delivery]:
    """Hands each message over one to four times: what is to come again is given back at once, so that others have it
    while it runs here."""
    deliveries = _receive(self, queue, **how)
    again = [item for item in deliveries if item.message is not None and item.deliveries < times(item.message.id)]
    _settle(self, [Final(lease=item.lease, step=Release(counted=False)) for item in again])
    return deliveries


def times(message: str) -> int:
    """How often a message is to be handed over, at least: 1 to 4."""
    return 1 + hashlib.sha256(message.encode()).digest()[0] % 4


_settle, _receive = SQLiteDriver.settle, SQLiteDriver.receive
before_and_after(HeldClaim, "end", "ended", "claim completed")
SQLiteDriver.settle, SQLiteDriver.receive = settle, receive  # type: ignore[method-assign,assignment]
event.listen(engine, "commit", lambda _: point("completed"))

if MODE == "no completion":
    inbox.insertion = lambda completion, dialect: Statement("select 1")


def write(context: cloudq.Context, table: str, n: int, child: bool) -> None:
    """The effect."""
    here[0] = n
    point("claimed")
    statement = text(f"insert into {table} (n) values (:n)")  # noqa: S608 - one of two
    if MODE == "claim":
        with engine.begin() as connection:
            connection.execute(statement, {"n": n})
            point("affected")
        point("committed")
        return
    with engine.connect() as connection:
        with context.transaction(connection):
            connection.execute(statement, {"n": n})
            if child:
                app.send("child", {"n": n})
            point("affected")
        point("committed")


@app.task("parent", idempotency_key="parent-{n}", lease=LEASE)
def parent(context: cloudq.Context, n: int) -> None:
    """A row, and a child."""
    write(context, "effect", n, child=MODE != "claim")


@app.task("child", idempotency_key="child-{n}", lease=LEASE)
def child(context: cloudq.Context, n: int) -> None:
    """A row."""
    write(context, "effect_of_child", n, child=False)
