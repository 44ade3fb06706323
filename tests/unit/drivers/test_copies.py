"""How deliveries name their copy, where the backend counts its rows itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import Final, PullDriver, Release
from cloudq.core.message import Message
from cloudq.core.plan import outgoing
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.running.runs import Runs

LEASE = timedelta(minutes=1)
NOW = timedelta(0)


@pytest.mark.parametrize(
    "make",
    [lambda folder: SQLiteDriver(folder / "q.db"), lambda _: MemoryDriver()],
    ids=["sqlite", "memory"],
)
def test_two_equal_messages_are_two_copies(make: Callable[[Path], PullDriver], tmp_path: Path) -> None:
    """The same bytes under one id, sent twice: what was done of the one leaves the other to be run.

    Also where the other one was handed over more often. A redelivery of the one that was done is known.
    """
    driver = make(tmp_path)
    sent = outgoing(Message(id="m", task="t", queue="q"), driver.capabilities("q"), SYSTEM_CLOCK.now())
    driver.send([replace(sent, native_id="n1"), replace(sent, native_id="n2")])
    one, other = driver.receive("q", limit=2, wait=NOW, lease=LEASE)
    runs, lost = Runs(SYSTEM_CLOCK), threading.Event()
    run = runs.begin(one, lost=lost, lease=LEASE, ended=lambda _: None)
    assert run is not None
    lost.set()
    runs.end(run, succeeded=True)
    done = []
    for held in (other, one):
        driver.settle([Final(lease=held.lease, step=Release())])
        (again,) = driver.receive("q", limit=1, wait=NOW, lease=LEASE)
        assert again.copy == held.copy
        done.append(runs.has_done(again))
    assert [False, True] == done
    driver.close()
