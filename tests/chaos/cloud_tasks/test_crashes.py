"""A worker, or a redrive, is killed after its copy is stored and before the original is settled.

The conformance kit shows the same of the driver's own calls, in fake time; here whole processes die.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import timedelta
from threading import Event, Lock

import pytest
from google.cloud.tasks_v2 import CreateTaskRequest, Task

from cloudq.emulators.cloud_tasks import End
from tests.chaos.cloud_tasks.grpc_proxy import GrpcProxy
from tests.chaos.cloud_tasks.stand import LOCATION, Stand, parameters
from tests.chaos.scale import sized
from tests.integration.processes import environment, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 600), func_only=True)]

CRASHES = sized(1, 8)
STEPS = 3
DEAD = f"{LOCATION}/queues/default-dlq"


class Copies:
    """What becomes of the copies, by their names. Keeps their replies back until there are enough of them."""

    def __init__(self, proxy: GrpcProxy) -> None:
        self.stored: Counter[str] = Counter()
        self.known: Counter[str] = Counter()
        self.enough = Event()
        self.killed = Event()
        self._held = 0
        self._lock = Lock()
        proxy.after = self._replied

    def again(self) -> None:
        """The next ones are kept back, too."""
        self.enough.clear()
        self.killed.clear()
        self._held = 0

    def _replied(self, method: str, request: bytes, status: str) -> None:
        if method != "CreateTask":
            return
        name = CreateTaskRequest.deserialize(request).task.name
        with self._lock:
            (self.stored if status == "OK" else self.known)[name] += 1
            assert status in {"OK", "ALREADY_EXISTS"}
            self._held += 1
            if self._held >= STEPS:
                self.enough.set()
        self.killed.wait(60)


def _tasks(stand: Stand) -> list[Task]:
    return list(stand.client.list_tasks(parent=f"{LOCATION}/queues/default"))


def test_a_worker_dies_between_copies_and_answers(
    proxied: Stand, proxy: GrpcProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    """A retry, a dead letter and a hop are stored when it is killed: each is done once more, and stored once."""
    stand = proxied
    for name in ("flaky", "dies", "effect"):
        stand.app.task(name)(parameters)
    copies = Copies(proxy)
    stand.app.send("flaky", {"n": 1})
    stand.app.send("dies", {"n": 2})
    stand.app.send("effect", {"n": 3}, delay=timedelta(days=40))
    waiting = max(_tasks(stand), key=lambda task: task.schedule_time)
    for crash in range(CRASHES):
        worker = stand.start()
        stand.ready()
        if crash == 0:
            stand.client.run_task(name=waiting.name)  # long before it is due, so that it hops
        assert copies.enough.wait(60), stand.log()
        worker.kill()
        worker.wait()
        copies.killed.set()
        if crash + 1 < CRASHES:
            copies.again()
    worker = stand.start()
    wait_until(lambda: stand.effects()[1] >= 1, within=60, what="the retry has run")
    wait_until(lambda: copies.known.total() >= STEPS * CRASHES, within=60, what="all copies were made again")
    wait_until(lambda: len(_tasks(stand)) == 1, within=60, what="all is settled")
    (dead,) = stand.app.queue("default").dead_letters.peek()
    (hopped,) = _tasks(stand)
    with capsys.disabled():
        print(
            f"\n[push, crash after copy] {CRASHES} kills: copies stored {sorted(copies.stored.values())},"
            f" known {copies.known.total()}"
        )
    assert [1] * STEPS == list(copies.stored.values())
    assert {1} == set(stand.effects())  # its own push may have been cut by a kill, too
    assert ("not yet", 1) == (dead.failure and dead.failure.reason, dead.failure and dead.failure.attempts)
    assert hopped.name in copies.stored


def test_a_redrive_dies_between_copy_and_deletion(
    proxied: Stand, proxy: GrpcProxy, capsys: pytest.CaptureFixture[str]
) -> None:
    """The copy runs, the dead letter stays; the next redrive stores no second copy, and deletes it."""
    stand = proxied
    dies = stand.app.task("dies")(parameters)
    worker = stand.start()
    stand.app.send_many(dies.call(n=n) for n in range(3))
    letters = stand.app.queue("default").dead_letters
    wait_until(lambda: len(letters.peek()) == 3, within=60, what="they are dead letters")
    deleting, killed = Event(), Event()

    def deletion(method: str, request: bytes) -> None:
        del request
        if method in {"DeleteTask", "BatchDeleteTasks"} and not killed.is_set():
            deleting.set()
            killed.wait(60)
            raise RuntimeError("whoever asked is dead")

    proxy.before = deletion
    (stand.folder / "mended").touch()
    command = [sys.executable, "-m", "cloudq", "dlq", "redrive", "default", "--all"]
    redrive = subprocess.Popen(command, cwd=stand.folder, env=environment(**stand.env))
    try:
        assert deleting.wait(60)
    finally:
        redrive.kill()
        redrive.wait()
        killed.set()
    wait_until(lambda: len(stand.effects()) == 3, within=60, what="the copies have run")
    left = len(letters.peek())
    again = letters.redrive()
    stand.wait_empty(60)
    with capsys.disabled():
        print(f"\n[redrive, crash after copy] {left} of 3 dead letters stayed; effects {stand.effects().total()}")
    assert (3, 3, ()) == (left, again.redriven, again.errors)
    assert {0: 1, 1: 1, 2: 1} == stand.effects()
    assert [] == list(stand.client.list_tasks(parent=DEAD))
    assert worker.poll() is None
    assert {End.SUCCEEDED, End.UNREACHABLE} >= {attempt.end for attempt in stand.emulator.attempts()}
