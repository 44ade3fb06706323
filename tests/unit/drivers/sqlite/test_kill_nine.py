"""Processes that are killed at any instruction: the file stays intact and nothing accepted is lost."""

import random
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.sqlite_file.checkpoint import WAL_LIMIT
from tests.integration.processes import wait_until

SENDER = """
import os, sys, uuid
from cloudq.core.driver import Outgoing
from cloudq.drivers.sqlite import SQLiteDriver
driver = SQLiteDriver(sys.argv[1])
accepted = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while True:
    ids = [uuid.uuid4().hex for _ in range(20)]
    results = driver.send([Outgoing(id=i, queue="q", body=i.encode() + b"x" * 3000, native_id=i) for i in ids])
    os.write(accepted, b"".join(i.encode() + b"\\n" for i, r in zip(ids, results) if r.error is None))
"""
RECEIVER = """
import os, sys
from datetime import timedelta
from cloudq.core.driver import Ack, Final, Release
from cloudq.drivers.sqlite import SQLiteDriver
driver = SQLiteDriver(sys.argv[1])
worked = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while True:
    brought = driver.receive("q", limit=15, wait=timedelta(seconds=1), lease=timedelta(seconds=1))
    done, again = brought[:10], brought[10:]
    os.write(worked, b"".join(one.id.encode() + b"\\n" for one in done))
    driver.settle([Final(lease=one.lease, step=Ack()) for one in done]
                  + [Final(lease=one.lease, step=Release()) for one in again])
"""


@pytest.mark.slow
def test_nothing_accepted_is_lost_by_kill_nine(bench):
    """Of processes that send and work, 40 are killed at random: what was accepted is worked, and the file is intact."""
    accepted, worked = bench.folder / "accepted", bench.folder / "worked"
    chance = random.Random(24)
    commands = [(SENDER, accepted)] * 2 + [(RECEIVER, worked)] * 2
    processes = [_started(bench, command) for command in commands]
    try:
        wait_until(lambda: _lines(accepted) > 100 and _lines(worked) > 0, within=60, what="they are at work")
        for _ in range(40):
            time.sleep(chance.uniform(0.05, 0.25))  # so that the kills hit any instruction
            victim = chance.randrange(len(processes))
            processes[victim].send_signal(signal.SIGKILL)
            processes[victim].wait()
            processes[victim] = _started(bench, commands[victim])
    finally:
        for process in processes:
            process.kill()
            process.wait()
    driver = bench.open(clock=SYSTEM_CLOCK)
    assert [("ok",)] == bench.query("PRAGMA integrity_check")
    done, sent = set(worked.read_text().split()), set(accepted.read_text().split())
    # Some are leased still, by what was killed.
    while sent - done and (brought := bench.receive(driver, limit=500, wait=timedelta(seconds=20))):
        done |= {one.id for one in brought}
    assert len(sent) > 100
    assert set() == sent - done
    assert bench.path.with_name("q.db-wal").stat().st_size < 4 * WAL_LIMIT + 1_000_000


def _lines(ledger):
    return ledger.read_text().count("\n") if ledger.exists() else 0


def _started(bench, command):
    script, ledger = command
    return subprocess.Popen([sys.executable, "-c", script, str(bench.path), str(ledger)])
