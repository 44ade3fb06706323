"""What sending and working costs: calls of the service, by method, counted where they are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudq.emulators.cloud_tasks import VARIABLE, CloudTasksEmulator
from tests.chaos.cloud_tasks.grpc_proxy import GrpcProxy
from tests.chaos.cloud_tasks.stand import Stand, parameters
from tests.chaos.scale import sized
from tests.integration.processes import wait_until

pytestmark = pytest.mark.slow

TASKS = sized(200, 5_000)


def test_a_hundred_tasks_cost_a_call_and_an_ack_none(
    tmp_path: Path,
    emulator: CloudTasksEmulator,
    proxy: GrpcProxy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`send_many` makes 0.01 calls a task; the worker none for what is acked, from its start to its end."""
    with GrpcProxy(emulator.address) as producers, Stand(tmp_path, emulator, monkeypatch, proxy=proxy) as stand:
        monkeypatch.setenv(VARIABLE, producers.address)
        empty = stand.app.task("empty")(parameters)
        worker = stand.start(None, "--max-tasks", str(TASKS))
        stand.ready()
        stand.app.send_many(empty.call(n=n) for n in range(TASKS))
        sending = producers.taken()
        wait_until(
            lambda: worker.poll() is not None, within=sized(60, 200), what="the worker has run them all, and ended"
        )
        working = proxy.taken()

        def acked() -> int:
            return sum(attempt.status == 200 for attempt in emulator.attempts())

        # The emulator reads the last answers in a thread of its own.
        wait_until(lambda: acked() >= TASKS, within=60, what="all are acked")
    with capsys.disabled():
        print(f"\n[calls] {TASKS:,} tasks: sent by {dict(sending)}, {acked():,} acked by {dict(working)}")
    assert {"BatchCreateTasks": TASKS // 100} == sending
    assert {} == working
    assert (0, TASKS) == (worker.returncode, acked())
