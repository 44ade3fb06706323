"""The connections of pushes are cut at random: a run that lost its push hears of it before, or as, another starts."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, suppress
from itertools import pairwise
from typing import Final

import pytest
from google.cloud.tasks_v2 import Queue, RateLimits, RetryConfig
from google.protobuf.duration_pb2 import Duration

from cloudq import App, Context
from cloudq.emulators.cloud_tasks import VARIABLE, CloudTasksEmulator
from cloudq.push import PushSettings
from cloudq.push.server import PushWorker, ServerSettings
from tests.chaos.cloud_tasks.stand import LOCATION, Balancer
from tests.chaos.scale import SEED, sized
from tests.integration.processes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 600), func_only=True)]

TASKS: Final = sized(90, 2_000)
RUN: Final = 0.4
# One that hears of it never does so within its run. In the suite this process itself may stand still in between.
SOON: Final = sized(20.0, 1.0)
AFTER_LOSS: Final = 1.0
SEND_EVERY: Final = 0.03
# How often a push is cut while a task is sent.
CUT: Final = 0.6
BACKOFF: Final = RetryConfig(
    max_attempts=-1, min_backoff=Duration(nanos=50_000_000), max_backoff=Duration(nanos=200_000_000)
)


class Seen:
    """When each run began, heard that its lease is lost, and ended, by task."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.runs: defaultdict[int, list[dict[str, float]]] = defaultdict(list)

    def run(self, context: Context, n: int) -> None:
        """A task of some 0.4 s; one that has lost its lease doesn't care, and goes on for a second."""
        run = {"began": time.monotonic()}
        with self.lock:
            self.runs[n].append(run)
        if context.lease_lost.wait(RUN):
            run["lost"] = time.monotonic()
            threading.Event().wait(AFTER_LOSS)
        run["ended"] = time.monotonic()


class Served:
    """A push worker in a thread of this process, of an app of its own, as if it were another process."""

    def __init__(self, url: str, seen: Seen) -> None:
        self.app = App(url)

        @self.app.task("t")
        def task(context: Context, n: int) -> None:
            seen.run(context, n)

        settings = PushSettings(insecure_no_auth=True, concurrency=20)
        self.worker = PushWorker(self.app, settings, ServerSettings(port=0))
        self._thread = threading.Thread(target=self.worker.run)
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self.worker.stop(now=True)
        self._thread.join(60)
        self.app.close()


def test_a_cut_push_is_known_to_be_lost_before_or_within_a_second_of_the_next_start(
    emulator: CloudTasksEmulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two workers behind one address, connections cut at random: whenever a task starts beside an earlier run of it,
    that run's `lease_lost` is set by then or within a second; every task runs to its end, and none is lost.
    """
    chance = random.Random(SEED)
    seen = Seen()
    monkeypatch.setenv(VARIABLE, emulator.address)
    limits = RateLimits(max_concurrent_dispatches=20)
    emulator.create_queue(Queue(name=f"{LOCATION}/queues/default", retry_config=BACKOFF, rate_limits=limits))
    with ExitStack() as stack:
        balancer = stack.enter_context(Balancer())
        url = f"cloudtasks://my-project/europe-west1?target=http://127.0.0.1:{balancer.port}/"
        served = [Served(url, seen) for _ in range(2)]
        for one in served:
            stack.callback(one.close)
        balancer.ports = [one.worker.address[1] for one in served]
        producer = App(url)
        stack.callback(producer.close)
        task = producer.task("t")(parameters)
        cuts = 0
        for n in range(TASKS):
            # One by one: behind a queue of others a push that is sent again would come after the first run's end.
            task.send(n=n)
            if chance.random() < CUT:
                cuts += cut_one(balancer, chance)
            threading.Event().wait(SEND_EVERY)
        client = emulator.client()
        stack.callback(client.transport.close)
        wait_until(
            lambda: not list(client.list_tasks(parent=f"{LOCATION}/queues/default")),
            within=sized(60, 300),
            what="the queue is empty",
        )
        wait_until(
            lambda: all("ended" in run for runs in seen.runs.values() for run in runs), within=60, what="all have ended"
        )
    delays = [
        first.get("lost", float("inf")) - second["began"]
        for runs in seen.runs.values()
        for first, second in pairwise(runs)
        if first["ended"] > second["began"]
    ]
    with capsys.disabled():
        worst = max(delays, default=0.0)
        print(f"\n[push, cuts] seed {SEED}: {cuts} cuts, {len(delays)} runs beside another; heard {worst:+.3f} s after")
    assert set(range(TASKS)) == set(seen.runs)
    assert delays, "nothing was cut while it ran"
    assert max(delays) <= SOON


def cut_one(balancer: Balancer, chance: random.Random) -> bool:
    """Cuts one of the open connections, both ways; whether there was one."""
    pairs = [pair for pair in zip(balancer._open[::2], balancer._open[1::2], strict=False) if pair[0].fileno() >= 0]
    if not pairs:
        return False
    for end in chance.choice(pairs):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    return True


def parameters(n: int) -> None:
    """Those of the task, for the app that sends."""
    del n
